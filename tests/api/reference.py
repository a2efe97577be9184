"""The lists in docs/: made from the API and its settings, so that they cannot be out of date.

`python -m tests.api.reference` (`make docs`) writes each between its markers; prose stays as it is.
"""

import inspect
import re
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from textwrap import wrap
from typing import Any

from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts
from pydantic import SecretStr
from starlette.routing import BaseRoute

from api.app import create_app
from api.errors import TITLES, Problem
from api.filters import operators_of
from api.security import Right
from assay.catalog import Catalog, Link
from assay.settings import Settings
from tests.api.conftest import CATALOG, MANIFEST, SECRET, column
from tests.conftest import ROOT

Document = dict[str, Any]

PAGES = (ROOT / "docs" / "api.md", ROOT / "docs" / "operations.md")
PREFIX = "/api/v1"
DATASET = "gems"
"""The invented dataset that stands for all: it has a column of every type, and a source."""
OTHERS = frozenset(entity.path for entity in CATALOG.served) - {DATASET}

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_WIDTH = 140
_KEPT = "\0"
"""A space at which no line ends."""
_BLOCK = re.compile(
    r"(?P<begin><!-- generated: (?P<name>[a-z ]+) -->\n).*?(?P<end><!-- end of generated -->)",
    re.DOTALL,
)


def main() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        page.write_text(rendered(text), encoding="utf-8")


def rendered(text: str) -> str:
    """The page with what the blocks of today are.

    Raises:
        KeyError: It has a block of a name that is none of `BLOCKS`.
    """

    def block(match: re.Match[str]) -> str:
        lines = BLOCKS[match["name"]]()
        return "\n".join([match["begin"], *lines, "", match["end"]])

    return _BLOCK.sub(block, text)


def table(head: str, rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Markdown; `head` has the titles of the columns between bars."""
    columns = head.count("|") + 1
    escaped = (" | ".join(cell.replace("|", "\\|") for cell in row) for row in rows)
    return [f"| {head} |", "|---" * columns + "|", *(f"| {row} |" for row in escaped)]


def application() -> tuple[Document, list[BaseRoute]]:
    """The OpenAPI document of an API over invented datasets, and its routes; asks no database."""
    with tempfile.TemporaryDirectory() as folder:
        manifest = Path(folder, "target", "manifest.json")
        manifest.parent.mkdir()
        manifest.write_text(MANIFEST)
        settings = Settings(
            project=Path(folder),
            database_url=SecretStr("postgresql://"),
            assay_secret=SecretStr(SECRET),
        )
        app = create_app(settings, linked())
        return app.openapi(), app.routes


def linked() -> Catalog:
    """The invented datasets, of which the one has a link to another."""
    near = column("near", "uuid", references=DATASET)
    far = column("far", "text", references="mines")
    through = replace(CATALOG.entities["mines"], name="links", path=None, columns=(near, far))
    link = Link("<link>", "<link>", through, near, far)
    entity = replace(CATALOG.entities[DATASET], links=(link,))
    return replace(CATALOG, entities={**CATALOG.entities, DATASET: entity})


def operations(document: Document) -> Iterator[tuple[str, str, Document]]:
    """Path, method and operation; of all datasets the one."""
    for path, methods in document["paths"].items():
        if path.removeprefix(f"{PREFIX}/").partition("/")[0] not in OTHERS:
            for method, operation in methods.items():
                yield path, method.upper(), operation


def roles(routes: Iterable[BaseRoute]) -> dict[tuple[str, str], str]:
    """Role that each path and method asks for at least."""
    return {
        (route.path, method): next(_roles(route.dependant), "")
        for route in iter_route_contexts(routes)
        for method in route.methods
    }


def _roles(dependant: Dependant) -> Iterator[str]:
    for child in dependant.dependencies:
        if isinstance(child.call, Right):
            yield child.call.role
        # Who makes users may be nobody; the function that judges him closes over the role.
        if inspect.isfunction(child.call) and child.call.__closure__:
            role = inspect.getclosurevars(child.call).nonlocals.get("role")
            if role is not None:
                yield str(role)
        yield from _roles(child)


def generic(path: str) -> str:
    return re.sub(f"^{PREFIX}/{DATASET}(?=/|$)", f"{PREFIX}/<path>", path)


def endpoints(*, of_a_dataset: bool) -> list[str]:
    document, routes = application()
    role_of = roles(routes)
    found = [
        (generic(path), method, role_of[path, method], operation)
        for path, method, operation in operations(document)
        if (generic(path) != path) is of_a_dataset
    ]
    for path, method, role, operation in found:
        if bool(role) is not ("security" in operation):
            raise RuntimeError(f"{method} {path}: its role and its security do not agree.")
    secured = [set(operation["responses"]) for _, _, role, operation in found if role]
    common = sorted(status for status in set.intersection(*secured) if status >= "400")
    told = {*common, "406"}
    rows = [
        (
            f"`{method} {path}`",
            role or "anyone",
            operation["summary"].replace(CATALOG.entities[DATASET].title, "rows"),
            ", ".join(sorted(s for s in operation["responses"] if not role or s not in told)),
        )
        for path, method, role, operation in sorted(
            found, key=lambda row: (row[0], _METHODS.index(row[1]))
        )
    ]
    return [
        *table("request | role | what it does | answers", rows),
        "",
        f"Each that asks for a role may also answer {', '.join(common)}, and 406 if it has a body.",
    ]


def parameters() -> list[str]:
    """Each with the requests that take it."""
    document, _ = application()
    taken: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for path, method, operation in operations(document):
        for named in operation.get("parameters", ()):
            parameter = _resolved(document, named)
            name = parameter["name"]
            if parameter["in"] == "path":
                continue
            text = parameter.get("description", "")
            requests = taken[name, _type(parameter["schema"]), text]
            requests.append(f"{method}{_KEPT}{generic(path).removeprefix(PREFIX)}")
    return [
        line.replace(_KEPT, " ")
        for (name, kind, text), requests in sorted(taken.items())
        for line in wrap(
            f"- `{name}` ({kind}): {_invented_out(text)} "
            f"Of {', '.join(f'`{request}`' for request in sorted(requests))}.",
            _WIDTH,
            subsequent_indent="  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
    ]


def _type(schema: Document) -> str:
    """A schema in a few words."""
    kind: str = schema.get("format") or schema.get("type", "any")
    bounds = (schema.get("minimum"), schema.get("maximum"))
    if None not in bounds:
        kind += " {} to {}".format(*bounds)
    if "enum" in schema and not set(schema["enum"]) & set(CATALOG.source_tables):
        kind = " or ".join(f"`{value}`" for value in schema["enum"])
    if kind != "array":
        return kind
    return "conditions" if "Condition" in str(schema["items"]) else "names between commas"


def _resolved(document: Document, node: Document) -> Document:
    """A parameter behind its reference."""
    name = node.get("$ref", "").rpartition("/")[2]
    found: Document = document["components"]["parameters"][name] if name else node
    return found


def _invented_out(text: str) -> str:
    """Titles of the invented columns, where a description lists them."""
    titles = "|".join(re.escape(c.title) for c in CATALOG.entities[DATASET].columns)
    return re.sub(rf"\b(?:{titles})(?:, (?:{titles}))+\b", "its columns of text", text)


def filters() -> list[str]:
    """Operators of each type of column; types with the same ones stand together."""
    types: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for one in CATALOG.entities[DATASET].columns:
        alike = types[operators_of(one)]
        if one.data_type not in alike:
            alike.append(one.data_type)
    rows = [
        (", ".join(f"`{t}`" for t in alike), " ".join(f"`{n}`" for n in names))
        for names, alike in types.items()
    ]
    return table("type of the column | operators", rows)


def statuses() -> list[str]:
    """Every status of a problem, and what it says where nothing more is known."""
    rows = [(str(status), title, _sentence(status)) for status, title in sorted(TITLES.items())]
    return table("status | title | `detail`, where there is no better one", rows)


def _sentence(status: int) -> str:
    try:
        return Problem(status).detail
    except KeyError:  # it never comes without one
        return ""


def settings() -> list[str]:
    """Every setting by its variable, as its docstring says."""
    rows = []
    for name, field in Settings.model_fields.items():
        if name != "project":
            if field.description is None:
                raise RuntimeError(f"{name} of Settings has no docstring.")
            default = field.get_default()
            shown = "" if default in (None, "", ()) else f"`{default}`"
            rows.append((f"`{name.upper()}`", shown, " ".join(field.description.split())))
    return table("variable | default | what it says", rows)


BLOCKS: dict[str, Callable[[], list[str]]] = {
    "endpoints of a dataset": lambda: endpoints(of_a_dataset=True),
    "other endpoints": lambda: endpoints(of_a_dataset=False),
    "parameters": parameters,
    "filters": filters,
    "statuses": statuses,
    "settings": settings,
}

if __name__ == "__main__":
    main()
