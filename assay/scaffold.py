"""Drafts a dataset from a file: its source, staging, contract, rejected view and unit test.

What is drafted builds as it is, and is there to be edited: it says of the file what its rows
support, which may be less or more than what is true.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from assay import draft_sql, draft_yaml
from assay.catalog import LIST_PARAMETERS, PROVENANCE, Catalog
from assay.draft import Column, Dataset, is_template, plain
from assay.draft_key import find_key, free, title_of
from loader.errors import LoadError
from loader.headers import normalise
from loader.kinds import ending_of
from loader.notation import Notation
from loader.profile import Profile, read_profile
from loader.readers import Document, open_document

MODELS = Path("dbt_project/models")
MAX_NAME = 24
"""Characters of the name of a dataset or source: `<source>__<dataset>__row_number` has to fit
into PostgreSQL's 63."""
_MAX_COLUMN = 36
_ABBREVIATION = 4
"""Letters."""
_LONGEST_RULE = "_required"

# Words of SQL that PostgreSQL does not take for every name without quotes, and the columns that
# each of its tables has.
SQL_WORDS = frozenset(
    re.findall(
        r"\w+",
        """
    all analyse analyze and any array as asc asymmetric authorization between bigint binary bit
    boolean both case cast char character check coalesce collate collation column concurrently
    constraint create cross current_catalog current_date current_role current_schema current_time
    current_timestamp current_user dec decimal default deferrable desc distinct do else end except
    exists extract false fetch float for foreign freeze from full grant greatest group grouping
    having ilike in initially inner inout int integer intersect interval into is isnull join json
    json_array json_arrayagg json_exists json_object json_objectagg json_query json_scalar
    json_serialize json_table json_value lateral leading least left like limit localtime
    localtimestamp merge_action national natural nchar none normalize not notnull null nullif
    numeric offset on only or order out outer overlaps overlay placing position precision primary
    real references returning right row select session_user setof similar smallint some substring
    symmetric system_user table tablesample then time timestamp to trailing treat trim true union
    unique user using values varchar variadic verbose when where window with xmlattributes
    xmlconcat xmlelement xmlexists xmlforest xmlnamespaces xmlparse xmlpi xmlroot xmlserialize
    xmltable
    cmax cmin ctid tableoid xmax xmin
    """,
    )
)
# Columns of the platform, and what the rejected view and lists of the API say beside a row's own.
PLATFORM_WORDS = frozenset(
    [
        *(*PROVENANCE, "repairs", "load_id", "row_number", "rules", "proposals", "malformed"),
        *LIST_PARAMETERS,
    ]
)
_TAKEN_NAMES = ("auth", "users", "loads", "journal")
"""Paths of the API, and the platform's own source."""


# Where each text goes; of two datasets of one source, each describes its own.
_FILES = (
    ("staging/{source}/_{described}__sources.yml", draft_yaml.source),
    ("staging/{source}/_{described}__models.yml", draft_yaml.staging),
    ("staging/{source}/_{described}__unit_tests.yml", draft_yaml.unit_test),
    ("staging/{source}/stg_{source}__{name}.sql", draft_sql.staging),
    ("marts/{name}/_{name}__models.yml", draft_yaml.contract),
    ("marts/{name}/{name}.sql", draft_sql.mart),
    ("rejected/{name}/_rejected_{name}__models.yml", draft_yaml.rejected),
    ("rejected/{name}/rejected_{name}.sql", draft_sql.rejected),
)


@dataclass(frozen=True)
class Draft:
    """What was written."""

    name: str
    rows: int
    """From which it was guessed."""
    key: str
    key_columns: tuple[str, ...]
    """Of which it is computed, where that is not the whole row."""
    notation: Notation
    """How the source writes days and decimals, as far as the file proves it."""
    files: tuple[Path, ...]
    """From the project's root."""


def scaffold(  # noqa: PLR0913  # what a person can choose
    project: Path,
    catalog: Catalog,
    file: Path,
    *,
    name: str | None = None,
    source: str | None = None,
    sheet: str | None = None,
    encoding: str | None = None,
    key: Sequence[str] = (),
    force: bool = False,
) -> Draft:
    """Write the folders of a dataset that takes files such as this one.

    Args:
        project: The project's root.
        catalog: Its datasets.
        file: CSV or XLSX.
        name: Of the dataset, its table and path; else from the file's name.
        source: Of who sends such files; else the dataset's name.
        sheet: Of the workbook, where several have text.
        encoding: Of the text, where it is not UTF-8.
        key: Columns or headers that tell rows apart; else they are looked for.
        force: Write over the files of an earlier draft.

    Raises:
        LoadError: Nothing was written; the message names the file and what to do.
    """
    try:
        name = _checked(name, "--name") or _name_of(file)
        source = _checked(source, "--source") or name
        files = _files(name, source)
        _refuse_taken(project, catalog, name, source, files, force=force)
        with open_document(file) as document:
            profile = _read(document, sheet, encoding)
            _refuse_known(catalog, profile, f"{source}.{name}", file)
            columns = _columns(profile, name)
            found = find_key(document, profile, columns, name, key)
    except LoadError as error:
        error.file = file.name
        raise
    endings = dict.fromkeys(["csv", ending_of(file, file.name), "xlsx"])
    options = {
        "formats": list(endings),
        "sheet": sheet,
        "encoding": encoding,
        "dates": profile.notation.dates,
        "decimal": profile.notation.decimal,
    }
    dataset = Dataset(
        name=name,
        source=source,
        file=plain(file.name),
        columns=columns,
        key=found,
        options={option: value for option, value in options.items() if value},
    )
    for path, (_, text_of) in zip(files, _FILES, strict=True):
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        (project / path).write_text(text_of(dataset), encoding="utf-8")
    chosen = tuple(column.name for column in found.columns)
    return Draft(
        name=name,
        rows=profile.rows,
        key=found.name,
        notation=profile.notation,
        key_columns=chosen if len(chosen) < len(columns) else (),
        files=files,
    )


def _files(name: str, source: str) -> tuple[Path, ...]:
    described = name if name == source else f"{source}__{name}"
    return tuple(
        MODELS / path.format(name=name, source=source, described=described) for path, _ in _FILES
    )


def _checked(name: str | None, option: str) -> str | None:
    if name is None or (
        re.fullmatch("[a-z][a-z0-9]*(_[a-z0-9]+)*", name)
        and len(name) <= MAX_NAME
        and name not in SQL_WORDS
    ):
        return name
    raise LoadError(
        f"{name!r} is {'a word of SQL, and ' if name in SQL_WORDS else ''}no name for tables",
        remedy=f"give {option} small letters, digits and single _, at most {MAX_NAME} characters",
    )


def _name_of(file: Path) -> str:
    name = _words(file.stem)[:MAX_NAME].rstrip("_")
    if not name or name[0].isdigit() or name in SQL_WORDS:
        raise LoadError("the file's name makes no name for tables", remedy="pass `--name NAME`")
    return name


def _refuse_taken(  # noqa: PLR0913  # all that may be in the way
    project: Path,
    catalog: Catalog,
    name: str,
    source: str,
    files: tuple[Path, ...],
    *,
    force: bool,
) -> None:
    other = "pass `--name NAME` with another"
    there = [path for path in files if (project / path).exists()]
    if there and not force:
        raise LoadError(f"{there[0]} exists already", remedy=f"{other}, or `--force` to replace it")
    if {name, source} & set(_TAKEN_NAMES):
        raise LoadError(f"the name {name} or {source} is the platform's", remedy=other)
    models = {path.stem: path for path in (project / MODELS).rglob("*.sql")}
    for path in files:
        known = models.get(path.stem) if path.suffix == ".sql" else None
        if known and known != project / path:
            raise LoadError(f"there is a model {path.stem} already", remedy=other)
    paths = {entity.path for entity in catalog.served if entity.name != name}
    if name.replace("_", "-") in paths:
        raise LoadError(f"the API has a path {name.replace('_', '-')} already", remedy=other)


def _read(document: Document, sheet: str | None, encoding: str | None) -> Profile:
    profile = read_profile(document, sheet=sheet, encoding=encoding)
    for column in profile.columns:
        if is_template(column.header):
            raise LoadError(
                f"the header {column.header!r} would be a template in YAML", remedy="rename it"
            )
    return profile


def _refuse_known(catalog: Catalog, profile: Profile, own: str, file: Path) -> None:
    """A second table for the same headers would make it unclear where files belong."""
    headers = {normalise(column.header) for column in profile.columns}
    for table in catalog.source_tables.values():
        known = {normalise(column.header) for column in table.columns}
        if table.name != own and headers == known:
            raise LoadError(
                f"it has the headers of {table.name}", remedy=f"load it: `assay load {file}`"
            )


def _words(text: str) -> str:
    """The words of a text in small ASCII letters and digits, joined by `_`."""
    parted = re.sub("(?<=[a-z]{2})(?=[A-Z])", "_", text)
    folded = unicodedata.normalize("NFKD", parted.casefold()).encode("ascii", "ignore").decode()
    return re.sub("[^a-z0-9]+", "_", folded).strip("_")


def column_names(headers: list[str], limit: int) -> Iterator[str]:
    """Names for columns: legal without quotes, none twice, none that the platform has.

    The loader also knows a column by its name: so none is like the header of another.
    """
    known = [normalise(header) for header in headers]
    given: list[str] = []
    for place, header in enumerate(headers):
        # room for `_value` and a number
        name = _words(header)[: limit - 10].strip("_") or f"column_{place + 1}"
        if name[0].isdigit():
            name = f"column_{name}"[: limit - 10].strip("_")
        if name in SQL_WORDS | PLATFORM_WORDS:
            name += "_value"
        name = free(name, (*known[:place], *known[place + 1 :], *map(normalise, given)))
        given.append(name)
        yield name


def _columns(profile: Profile, name: str) -> tuple[Column, ...]:
    limit = min(_MAX_COLUMN, 63 - len(f"{name}__{_LONGEST_RULE}"))
    names = column_names([column.header for column in profile.columns], limit)
    return tuple(
        Column(
            name=given,
            title=title_of(column.header),
            profile=column,
            sample=profile.sample[column.index] if profile.sample else "",
        )
        for column, given in zip(profile.columns, names, strict=True)
    )
