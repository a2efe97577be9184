"""The SQL of a drafted dataset."""

from assay.draft import Dataset

_MAX_LINE = 80


def staging(dataset: Dataset) -> str:
    """Each column is read by its type."""
    source = _source(dataset)
    columns = "".join(f"'{column.name}': '{column.reading}',\n" for column in dataset.columns)
    if not dataset.key.is_computed:
        return f"{{{{ reading({source}, {{\n{_indented(columns)}}}) }}}}\n"
    key = f"'{dataset.key.name}': default_of('{dataset.name}', '{dataset.key.name}'),\n"
    arguments = f"{source},\n{{\n{_indented(columns)}}},\ncomputed={{\n{_indented(key)}}}\n"
    return f"{{{{ reading(\n{_indented(arguments)}) }}}}\n"


def mart(dataset: Dataset) -> str:
    """What staging says."""
    return _MART.format(staged=dataset.staging)


def rejected(dataset: Dataset) -> str:
    """The rejected rows as they came."""
    call = f"{{{{ rejected_rows('{dataset.name}', {_source(dataset)}) }}}}\n"
    if len(call) <= _MAX_LINE:
        return call
    arguments = f"'{dataset.name}',\n{_source(dataset)}\n"
    return f"{{{{ rejected_rows(\n{_indented(arguments)}) }}}}\n"


def _source(dataset: Dataset) -> str:
    return f"source('{dataset.source}', '{dataset.name}')"


def _indented(lines: str) -> str:
    return "".join(f"    {line}\n" for line in lines.splitlines())


_MART = """\
with

staged as (

    select * from {{{{ ref('{staged}') }}}}

)

select * from staged
"""
