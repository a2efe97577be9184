"""The lists in docs/api.md, made from the OpenAPI document and the code that it describes.

Each stands between two comments of Markdown; the prose around them is by hand.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from api.errors import STATUS_OF_SQLSTATE, TITLES, Problem
from api.filters import DESCRIPTIONS, operators_of
from api.parameters import PARAMETERS
from api.schemas import TYPES
from assay.catalog import Catalog, Column
from tests.contract.breaking import METHODS

FILE = Path(__file__).resolve().parents[2] / "docs" / "api.md"
_BLOCK = re.compile(r"(<!-- (\w+), by make docs -->\n).*?(<!-- end -->)", re.DOTALL)
_PREFIX = "/api/v1"


def with_lists(text: str, catalog: Catalog, document: dict[str, Any]) -> str:
    """The text with its lists made anew.

    Raises:
        KeyError: There is no list of that name.
    """
    lists = {
        "endpoints": endpoints(catalog, document),
        "parameters": parameters(catalog, document),
        "operators": operators(),
        "types": types(),
        "statuses": statuses(),
    }
    return _BLOCK.sub(lambda match: f"{match[1]}\n{_table(lists[match[2]])}\n{match[3]}", text)


def endpoints(catalog: Catalog, document: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """Of one entity, which stands for all, and those that are of none."""
    first, *others = (f"{_PREFIX}/{entity.path}" for entity in catalog.served)
    yield "request", "", "answers"
    for path, operations in document["paths"].items():
        if path.startswith(tuple(others)):
            continue
        shown = path.replace(first, "/{path}").removeprefix(_PREFIX)
        for method in METHODS:
            if operation := operations.get(method):
                summary = operation["summary"].replace(catalog.served[0].title, "rows")
                statuses = ", ".join(sorted(operation["responses"]))
                yield f"`{method.upper()} {shown}`", summary, statuses


def parameters(catalog: Catalog, document: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """Of lists."""
    listed = document["paths"][f"{_PREFIX}/{catalog.served[0].path}"]["get"]["parameters"]
    yield "parameter", ""
    for parameter in listed:
        if parameter["name"] in PARAMETERS:
            # the first sentence
            yield f"`{parameter['name']}`", parameter["description"].partition("; ")[0].rstrip(".")


def operators() -> Iterator[tuple[str, ...]]:
    """Of filters."""
    yield "operator", "the column"
    yield from ((f"`{name}`", description) for name, description in DESCRIPTIONS.items())


def types() -> Iterator[tuple[str, ...]]:
    """Of columns, with the operators that they have."""
    yield "columns of", "operators"
    names_of: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for name in (*TYPES, "text[]"):
        column = Column("", name, "", "", True, False, None, (), ())
        names_of[operators_of(column)].append(name)
    for names, of in names_of.items():
        yield ", ".join(of), " ".join(f"`{name}`" for name in names)


def statuses() -> Iterator[tuple[str, ...]]:
    """Of problems."""
    yield "status", "", "unless there is more to say", "SQLSTATE"
    for status, title in TITLES.items():
        codes = [code for code, to in STATUS_OF_SQLSTATE.items() if to == status]
        try:
            sentence = Problem(status).detail
        except KeyError:
            sentence = ""
        yield str(status), title, sentence, ", ".join(codes)


def _table(rows: Iterator[tuple[str, ...]]) -> str:
    head, *others = (f"| {' | '.join(cells)} |" for cells in rows)
    ruler = f"|{'---|' * (head.count(' | ') + 1)}"
    return "\n".join([head, ruler, *others]) + "\n"
