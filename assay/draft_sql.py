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
    return _MART.format(staged=_call(f"ref('{dataset.staging}')", before="    select * from "))


def rejected(dataset: Dataset) -> str:
    """The rejected rows as they came."""
    return _call(f"rejected_rows('{dataset.name}', {_source(dataset)})") + "\n"


def _call(macro: str, before: str = "") -> str:
    """A call, broken at its brackets and commas where the line would be too long."""
    line = f"{before}{{{{ {macro} }}}}"
    if len(line) <= _MAX_LINE:
        return line
    indent = before[: len(before) - len(before.lstrip())]
    name, _, arguments = macro.removesuffix(")").partition("(")
    broken = ",\n".join(f"{indent}    {text}" for text in arguments.split(", ", 1))
    return f"{before}{{{{ {name}(\n{broken}\n{indent}) }}}}"


def _source(dataset: Dataset) -> str:
    return f"source('{dataset.source}', '{dataset.name}')"


def _indented(lines: str) -> str:
    return "".join(f"    {line}\n" for line in lines.splitlines())


_MART = """\
with

staged as (

{staged}

)

select * from staged
"""
