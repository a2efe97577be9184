"""The YAML of a drafted dataset."""

import re
from typing import Any

import yaml

from assay.draft import Column, Dataset, is_template
from loader.profile import clean

_MAX_CELL = 200
"""Characters of a value that is in the unit test."""
_ROW_NUMBER = "The row's number in its file, as a spreadsheet shows it."
_MALFORMED = "The whole row, where it has more or fewer fields than the header."
_PROVENANCE = {
    "_load_id": "The load that brought the row.",
    "_row_number": _ROW_NUMBER,
    "_malformed": _MALFORMED,
    "_hash": "md5 of what the source said.",
    "_problems": "Columns that were given but could not be read.",
    "_proposals": "What a value that is not taken may have been, for people to choose.",
}
_REPAIRS = {"repairs": "What was changed on the way."}
_PLATFORM = (
    ("repairs", "text[]", {"title": "Repairs", "default": "'{}'::text[]"}),
    ("updated_at", "timestamptz", {"title": "Updated at"}),
    ("updated_by", "text", {"title": "Updated by"}),
)

Yaml = dict[str, Any]


class _Flow(Yaml):
    """A mapping on one line."""


def source(dataset: Dataset) -> str:
    """The source table and the headers of its files."""
    table = {
        "name": dataset.name,
        "identifier": f"{dataset.source}__{dataset.name}",
        "description": f"One row per row of a file such as {dataset.file}, as it came.",
        "config": {"meta": {"load": _Flow(dataset.options)}},
        "columns": [
            {
                "name": column.name,
                "description": f"{column.title}.",
                "config": {
                    "meta": _Flow(
                        header=column.profile.header,
                        mandatory=True,
                        **({"examples": column.examples} if column.examples else {}),
                    )
                },
            }
            for column in dataset.columns
        ],
    }
    described = {"name": dataset.source, "description": f"Files such as {dataset.file}."}
    return _yaml("sources", {**described, "schema": "raw", "tables": [table]})


def staging(dataset: Dataset) -> str:
    """The columns of the staging model."""
    key = {dataset.key.name: dataset.description_of_key} if dataset.key.is_computed else {}
    columns = {column.name: f"{column.title}." for column in dataset.columns}
    description = (
        f"One row per row of a file such as {dataset.file}, renamed and cast. What cannot be read "
        "is null and named in `_problems`."
    )
    return _model(dataset.staging, description, _PROVENANCE | key | columns | _REPAIRS)


def rejected(dataset: Dataset) -> str:
    """The columns of the rejected view."""
    description = (
        f"One row per row of a file such as {dataset.file} that breaks a rule of the contract; "
        "the row as it came, where it stood, and the names of the rules."
    )
    columns = {
        "load_id": "The load that brought the row; see GET /api/v1/loads.",
        "row_number": _ROW_NUMBER,
        "rules": "Names of the rules that the row breaks.",
        "proposals": "What values of the row may have been, for people to choose.",
        **{column.name: f"{column.title}, as it came." for column in dataset.columns},
        "malformed": _MALFORMED,
    }
    return _model(f"rejected_{dataset.name}", description, columns)


def unit_test(dataset: Dataset) -> str:
    """A row of the file, and what staging is to make of it."""
    told = [
        column
        for column in dataset.columns
        if clean(column.sample)
        # a unit test knows no source of which to take `dates` and `decimal`
        and not column.is_declared
        and len(column.sample) <= _MAX_CELL
        and not is_template(column.sample)
    ]
    given = {"_row_number": 2} | {column.name: column.sample for column in told}
    read = {"_row_number": 2} | {column.name: column.read for column in told}
    test: Yaml = {
        "name": f"{dataset.staging}__row_of_the_file",
        "description": f"A row of {dataset.file} is read whole; add rows that are not like it.",
        "model": dataset.staging,
    }
    if dataset.key.is_computed:
        # it knows no contract of which to take the default
        test["overrides"] = {"macros": _Flow(default_of="null::uuid")}
    table = f"source('{dataset.source}', '{dataset.name}')"
    test["given"] = [{"input": table, "rows": [given]}]
    test["expect"] = {"rows": [read | {"_problems": "{}"}]}
    return _yaml("unit_tests", test)


def contract(dataset: Dataset) -> str:
    """The curated model: columns, rules and a line that tests each."""
    key = dataset.key
    checks: list[Yaml] = []
    unique = {"name": f"{key.name}_unique", "unique": _List([key.name])}
    rules: list[Yaml] = [unique | {"message": f"{key.title} is that of another row."}]
    for column in dataset.columns:
        if column.is_mandatory:
            required = {"name": f"{column.name}_required", "not_null": column.name}
            rules.append(required | {"message": f"{column.title} is mandatory."})
        if check := column.check:
            columns = _List([column.name])
            rules.append({"name": check.name, "columns": columns, "message": check.message})
            checks.append({"type": "check", "name": check.name, "expression": check.expression})
    meta = {
        "title": dataset.name.replace("_", " ").capitalize(),
        "api": _Flow(path=dataset.path),
        "rules": rules,
    }
    model = {
        "name": dataset.name,
        "description": f"One row per row of {dataset.file}. This is a draft, say what a row is.",
        "config": {"meta": meta},
        "constraints": [{"type": "primary_key", "columns": _List([key.name])}, *checks],
        "data_tests": [{"rule": _Flow(name=rule["name"])} for rule in rules],
        "columns": [
            *([_computed_key(dataset)] if key.is_computed else []),
            *map(_column, dataset.columns),
            *(_platform_column(*told) for told in _PLATFORM),
        ],
    }
    return _yaml("models", model)


def _computed_key(dataset: Dataset) -> Yaml:
    meta = {"title": dataset.key.title, "default": dataset.default_of_key, "server_owned": True}
    described = {"name": dataset.key.name, "description": dataset.description_of_key}
    described["data_type"] = "uuid"
    return {**described, "config": {"meta": meta}}


def _column(column: Column) -> Yaml:
    meta = _Flow(title=column.title)
    if column.options:
        meta["enum"] = column.options
    if column.examples:
        meta["examples"] = [column.served(column.examples[0])]
    return {
        "name": column.name,
        "description": f"{column.title}.",
        "data_type": column.data_type,
        **({"constraints": _List([_Flow(type="not_null")])} if column.is_mandatory else {}),
        "config": {"meta": meta},
    }


def _platform_column(name: str, data_type: str, meta: Yaml) -> Yaml:
    return {
        "name": name,
        "description": f'{{{{ doc("{name}") }}}}',
        "data_type": data_type,
        "constraints": _List([_Flow(type="not_null")]),
        "config": {"meta": _Flow(**meta, server_owned=True)},
    }


def _model(name: str, description: str, columns: dict[str, str]) -> str:
    described = [{"name": column, "description": text} for column, text in columns.items()]
    return _yaml("models", {"name": name, "description": description, "columns": described})


class _List(list[Any]):
    """A list on one line."""


class _Dumper(yaml.SafeDumper):
    """Writes YAML as people of this project do."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        super().increase_indent(flow, indentless=False)

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002
        return True


_MAP, _SEQUENCE, _TEXT = (f"tag:yaml.org,2002:{kind}" for kind in ("map", "seq", "str"))
_Dumper.add_representer(
    _Flow, lambda dumper, data: dumper.represent_mapping(_MAP, data, flow_style=True)
)
_Dumper.add_representer(
    _List, lambda dumper, data: dumper.represent_sequence(_SEQUENCE, data, flow_style=True)
)
# Whether `0012` without quotes is a number depends on the reader's version of YAML.
_Dumper.add_representer(
    str,
    lambda dumper, data: dumper.represent_scalar(
        _TEXT, data, style='"' if re.match(r"[0-9.+-]", data) else None
    ),
)


def _yaml(kind: str, content: Yaml) -> str:
    text: str = yaml.dump(
        {kind: [content]}, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100
    )
    return f"version: 2\n\n{text}"
