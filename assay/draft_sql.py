"""The SQL of a drafted dataset."""

from collections.abc import Iterator

from assay.draft import Dataset

_MAX_LINE = 80
_CASTS = {
    "integer": ("to_integer", "integer"),
    "bigint": ("to_integer", "bigint"),
    "numeric": ("to_number",),
    "boolean": ("to_boolean",),
    "date": ("to_date",),
    "timestamptz": ("to_timestamp",),
    "uuid": ("to_uuid",),
}
_GROUPS = {
    "text": ("text",),
    "dates": ("date", "timestamptz"),
    "numbers": ("integer", "bigint", "numeric", "boolean"),
}


def staging(dataset: Dataset) -> str:
    """Each column cleaned, then those cast that are no text."""
    indent = " " * 8
    cleaned = (
        _call("clean_text", column.name, before=indent, alias=column.given)
        for column in dataset.columns
    )
    read = [column for column in dataset.columns if column.data_type != "text"]
    renamed = []
    for column in read:
        macro, *arguments = _CASTS[column.data_type]
        renamed.append(_call(macro, column.given, *arguments, before=indent, alias=column.name))
    noted = []
    if dataset.key.is_computed:
        key = dataset.key.name
        noted.append(_call("default_of", dataset.name, key, before=indent, alias=key))
    pairs = (f"            '{column.name}': '{column.given}',\n" for column in read)
    wrapped = (p if len(p) <= _MAX_LINE else p.replace(": ", f":\n{' ' * 16}") for p in pairs)
    problems = "{\n" + "".join(wrapped) + f"{indent}}}" if read else "{}"
    noted.append(f"{indent}{{{{ problems({problems}) }}}} as _problems")
    return _STAGING.format(
        source=_call("source", dataset.source, dataset.name, before="    select * from "),
        cleaned=",\n".join(cleaned),
        renamed=_RENAMED.format(columns=",\n".join(renamed)) if read else "",
        noted=",\n".join(noted),
        last="renamed" if read else "cleaned",
        columns=",\n".join(_grouped(dataset)),
    )


def mart(dataset: Dataset) -> str:
    """What staging says."""
    return _MART.format(staged=_call("ref", dataset.staging, before="    select * from "))


def rejected(dataset: Dataset) -> str:
    """The rejected rows as they came."""
    files = f"{dataset.name}_files"
    return _REJECTED.format(
        name=dataset.name,
        files=files,
        source=_call("source", dataset.source, dataset.name, before="    select * from "),
        columns="\n".join(f"    {files}.{column.name}," for column in dataset.columns),
    )


def _grouped(dataset: Dataset) -> Iterator[str]:
    columns = [column for column in dataset.columns if column.name != dataset.key.name]
    ids = [column.name for column in columns if column.data_type == "uuid"]
    groups = {"ids": [dataset.key.name, *ids]}
    for group, types in _GROUPS.items():
        groups[group] = [column.name for column in columns if column.data_type in types]
    for group, names in groups.items():
        if names:
            yield f"\n    ---------- {group}\n    " + ",\n    ".join(names)


def _call(macro: str, *arguments: str, before: str, alias: str = "") -> str:
    """A call of a macro, broken where the line would be too long."""
    quoted = ", ".join(f"'{argument}'" for argument in arguments)
    indent = " " * (len(before) - len(before.lstrip()))
    named = f" as {alias}" if alias else ""
    call = f"{before}{{{{ {macro}({quoted}) }}}}"
    if len(call + named) < _MAX_LINE:
        return call + named
    if len(call) < _MAX_LINE and alias:
        return f"{call}\n{indent}   {named}"
    return f"{before}{{{{ {macro}(\n{indent}    {quoted}\n{indent}) }}}}{named}"


_STAGING = """\
with

source as (

{source}

),

cleaned as (

    select
        {{{{ provenance() }}}},

{cleaned}

    from source

),
{renamed}
noted as (

    select
        *,
{noted}

    from {last}

)

select
    _load_id,
    _row_number,
    _malformed,
    _hash,
    _problems,
{columns}

from noted
"""

_RENAMED = """
renamed as (

    select
        *,

{columns}

    from cleaned

),
"""

_MART = """\
with

staged as (

{staged}

)

select * from staged
"""

_REJECTED = """\
with

verdicts as (

    select * from {{{{ source('journal', 'verdicts') }}}}

),

{files} as (

{source}

)

select
    verdicts.load_id,
    verdicts.row_number,
    verdicts.rules,
{columns}
    {files}._malformed as malformed

from verdicts

inner join {files}
    on
        verdicts.load_id = {files}._load_id
        and verdicts.row_number = {files}._row_number

where verdicts.entity = '{name}'
"""
