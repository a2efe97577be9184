"""The SQL of a row's history: what each event, a load's or an edit's, left of a key."""

# ruff: noqa: S608 - identifiers and types are the catalog's, values are bound

from collections.abc import Iterable

from assay.catalog import Column, Entity


def function_of(entity: Entity) -> str:
    """Gives all versions of a key: (version, updated_at, updated_by, cause, image).

    A build makes it; the image of a deletion is null.
    """
    return f"staging.{quoted(f'{entity.name}__versions')}"


def as_row(columns: Iterable[Column], image: str) -> str:
    """These columns of a row from its image, for `from`."""
    typed = ", ".join(f"{quoted(c.name)} {c.data_type}" for c in columns)
    return f"jsonb_to_record({image}) as image ({typed})"


def page(entity: Entity, below: str, columns: Iterable[Column]) -> str:
    """$1 limit, $2 key. The newest first; no row where the key never was."""

    def row(image: str) -> str:
        return f"""
            case when {image} is not null then (
                select row_to_json(image.*) from {as_row(columns, image)}
            ) end
        """

    # An event that found nothing and left nothing, such as a second deletion, is none.
    return f"""
        with events as (
            select
                version, updated_at, updated_by, cause, image as after,
                lag(image) over (order by version) as before
            from {function_of(entity)}($2::text)
        ),
        history as (
            select * from events where before is not null or after is not null
        ),
        page as (
            select * from history where {below} order by version desc limit $1::integer + 1
        ),
        shown as (select * from page order by version desc limit $1::integer)
        select
            (
                select coalesce(
                    json_agg(
                        json_build_object(
                            'version', version,
                            'operation', case
                                when before is null then 'insert'
                                when after is null then 'delete'
                                else 'update'
                            end,
                            'at', updated_at,
                            'by', updated_by,
                            'cause', cause,
                            'before', {row("before")},
                            'after', {row("after")}
                        )
                        order by version desc
                    ),
                    '[]'
                )::text
                from shown
            ) as items,
            case when (select count(*) from page) > $1::integer then (
                select json_build_array(min(version))::text from shown
            ) end as last
        where exists (select from history)
    """


def as_of(entity: Entity, columns: Iterable[Column]) -> str:
    """$1 key, $2 time. The last version in the order of events; no row where it is a deletion."""
    return f"""
        select row_to_json(image.*)::text as body
        from (
            select image from {function_of(entity)}($1::text)
            where updated_at <= $2::text::timestamptz
            order by version desc
            limit 1
        ) as version
        cross join lateral {as_row(columns, "version.image")}
        where version.image is not null
    """


def relation_of(entity: Entity) -> str:
    return f"{quoted(entity.schema)}.{quoted(entity.table)}"


def quoted(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'
