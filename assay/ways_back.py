"""The way from curated rows back to the columns of a source, for files in its form."""

from psycopg import sql

from assay.catalog import Column, Entity, SourceColumn, SourceTable


class NoWayBackError(ValueError):
    """The contract does not say how rows become a column of the source again."""


def curated_of(column: SourceColumn, entity: Entity) -> Column | None:
    """The curated column that a column of a source becomes."""
    return entity.columns_by_name.get(column.column or column.name)


def ways_back(entity: Entity, source: SourceTable) -> dict[str, str]:
    """For each header of a source the SQL, over a curated row, of what it would say.

    Raises:
        NoWayBackError: A column has no way back.
    """
    ways = {}
    for column in source.columns:
        curated = curated_of(column, entity)
        way = column.export or (curated and f"{sql.Identifier(curated.name).as_string()}::text")
        if not way:
            raise NoWayBackError(
                f"The contract does not say how rows become {column.header} again: "
                "`config.meta.export` of that column of the source would."
            )
        ways[column.header] = way
    return ways
