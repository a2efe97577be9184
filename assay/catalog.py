"""The only reader of dbt's manifest: what the loader and the API know of the datasets.

`target/manifest.json` is made by `dbt parse`, which needs no database. Nothing here, nor
in whatever imports it, names a dataset, a column or a rule.
"""

import json
import re
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Literal, get_args

from assay.data_types import CatalogError as CatalogError  # noqa: PLC0414 - it is raised here
from assay.deliveries import Sync, sync_of
from assay.grammar import form_of
from assay.listings import Api, Listing, listing_of

# Columns of every curated table that the platform fills.
WRITER = "updated_by"
PROVENANCE = ("updated_at", WRITER)
LIST_PARAMETERS = (
    *(
        "limit",
        "cursor",
        "sort",
        "fields",
        "expand",
        "count",
        "q",
        "format",
        "bom",
        "form",
        "source",
    ),
)
"""Of lists in the API; a column of such a name would have no filter."""
ENDINGS = ("csv", "tsv", "txt", "xlsx")
"""Of files that are read."""
_PATIENCE = 5.0
"""Seconds in which a bare dbt has written the manifest that it began, in its place."""
_LOOK_AGAIN = 0.1

MAX_DIGITS = 40
"""Significant ones of a number, where the contract says nothing else."""
LARGEST = 1.7976931348623157e308
"""Likewise: the largest number of double precision."""

_NUMBER = r"(-?\d+(?:\.\d+)?)"
_PLACEHOLDER = re.compile(r"\$\d")

Severity = Literal["error", "warn"]
LakePii = Literal["leave_out", "hash", "keep"]
RuleKind = Literal[
    "check", "not_null", "unique", "dependency", "reference", "query", "cast", "fields"
]


class HalfWrittenError(CatalogError):
    """The manifest is no whole JSON document."""


@dataclass(frozen=True)
class Rule:
    """A rule of a contract: its name, whom it concerns and what to tell people."""

    name: str
    kind: RuleKind
    columns: tuple[str, ...]
    message: str
    severity: Severity = "error"
    expression: str | None = None
    """SQL over the row's columns; only rules of severity `warn` have it here, the
    expressions of the others are constraints of the table."""


@dataclass(frozen=True)
class Column:
    """A column of a curated table, as its contract says."""

    name: str
    data_type: str
    title: str
    description: str
    is_nullable: bool
    is_server_owned: bool
    default: str | None
    """SQL over the row's other columns, for a value that a writer left out."""
    enum: tuple[Any, ...]
    examples: tuple[Any, ...]
    is_personal: bool = False
    """Says something of a person: hidden from whoever has no scope for it."""
    is_hashed: bool = False
    """The lake has a personal column as a keyed hash, rather than not at all."""
    references: str | None = None
    """The entity whose key it holds."""
    minimum: str | None = None
    maximum: str | None = None
    max_length: int | None = None
    """In characters; these three as far as simple checks of the contract say so."""
    is_bounded: bool = False
    """A number of at most `MAX_DIGITS` digits, up to `LARGEST`."""


@dataclass(frozen=True)
class Link:
    """Rows of another entity that belong to one of this, as rows of a third say."""

    name: str
    """The field that has their keys."""
    path: str
    """The segment below a row at which they are linked."""
    through: "Entity"
    """Has a row for each link."""
    near: Column
    """Its column with the key of this entity."""
    far: Column
    """Its column with the key of the other."""


@dataclass(frozen=True)
class Entity:
    """A public mart: one curated table and, when `path` is set, its endpoints."""

    name: str
    schema: str
    table: str
    title: str
    description: str
    path: str | None
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    rules: tuple[Rule, ...]
    source_tables: tuple[str, ...]
    """Names of the source tables whose loads feed it."""
    file_sources: tuple[str, ...] = ()
    """Those of them that files are loaded to."""
    search: tuple[str, ...] = ()
    """Columns of text whose words have an index."""
    is_restricted: bool = False
    """Only for people whose scopes name it."""
    sample: str | None = None
    """Path, from the project's root, of rows to begin with, where no source has any."""
    sync: Sync | None = None
    """How its changes are delivered to another system."""
    is_in_lake: bool = False
    """Whether it is exported where no model is named."""
    lake_pii: LakePii = "leave_out"
    """What the lake has of columns that say something of a person."""
    links: tuple[Link, ...] = ()
    linked_in: tuple["Entity", ...] = ()
    """Those whose rows are links of its rows, and go with them."""
    link_turn: str = ""
    """The same for all that are connected by links: who changes some takes turns."""

    @cached_property
    def has_personal_data(self) -> bool:
        return any(column.is_personal for column in self.columns)

    @cached_property
    def columns_by_name(self) -> dict[str, Column]:
        return {column.name: column for column in self.columns}

    @cached_property
    def rules_by_name(self) -> dict[str, Rule]:
        return {rule.name: rule for rule in self.rules}

    def references(self, other: "Entity") -> tuple[Column, ...]:
        """The columns that hold keys of another."""
        return tuple(column for column in self.columns if column.references == other.name)

    def rule_of_constraint(self, constraint: str) -> Rule | None:
        """The rule behind a constraint of the table; they are named `<table>__<rule>`."""
        return self.rules_by_name.get(constraint.removeprefix(f"{self.table}__"))

    def rule_of_null(self, column: str) -> Rule | None:
        """The rule that a null in a mandatory column breaks."""
        return next(
            (r for r in self.rules if r.kind == "not_null" and r.columns == (column,)), None
        )


@dataclass(frozen=True)
class StagingModel:
    """A view that makes rows of a contract out of raw ones."""

    name: str
    schema: str
    table: str
    description: str
    descriptions: dict[str, str]
    """Of its columns."""
    feeds: tuple[Entity, ...]


@dataclass(frozen=True)
class SourceColumn:
    """A column of a source table and the header it has in files."""

    name: str
    header: str
    aliases: tuple[str, ...]
    is_mandatory: bool
    description: str
    examples: tuple[Any, ...]
    column: str | None = None
    """The curated column that it becomes; else the one with its name, if there is one."""
    export: str | None = None
    """The way back: SQL over a curated row; else the text of that column."""
    parent_field: str | None = None
    """The field of the parent's record that it has, where records come from an API."""


@dataclass(frozen=True)
class Enrichment:
    """Where the rows of a source table come from, if a program works them out."""

    program: str
    """Dotted name of its module; `assay/enrichment.py` says what it has."""
    entity: str
    """The entity whose values it is asked about,"""
    column: str
    """and their column."""
    value: str
    """Columns of the source table: what was asked,"""
    version: str
    """and who answered."""


@dataclass(frozen=True)
class SourceTable:
    """A table of the raw schema and how its files are read."""

    name: str
    """`<source>.<table>`, the name people use."""
    schema: str
    table: str
    description: str
    columns: tuple[SourceColumn, ...]
    formats: tuple[str, ...]
    """What the names of its files end in, without the point."""
    sheet: str | None
    delimiter: str | None
    encoding: str | None
    sample: str | None
    """Path, from the project's root, of a file to begin with."""
    enrichment: Enrichment | None = None
    exchange: tuple[str, ...] = ()
    """Dotted names of modules that read and write other forms of its files."""
    listing: Listing | None = None
    """Where its records are in an API; no files are loaded to it then."""


@dataclass(frozen=True)
class Catalog:
    """All datasets of a project."""

    entities: dict[str, Entity]
    source_tables: dict[str, SourceTable]
    staging: dict[str, StagingModel] = field(default_factory=dict)

    @cached_property
    def served(self) -> tuple[Entity, ...]:
        """Entities with endpoints, by path."""
        paths = {entity.path: entity for entity in self.entities.values() if entity.path}
        return tuple(paths[path] for path in sorted(paths))

    @cached_property
    def listed(self) -> dict[Api, tuple[SourceTable, ...]]:
        """Source tables by the API that lists their records, each after that of its parents."""
        tables = [table for table in self.source_tables.values() if table.listing]
        found: dict[Api, tuple[SourceTable, ...]] = {}
        done: set[str | None] = {None}
        while tables:
            table = next((t for t in tables if _parent(t) in done), None)
            if table is None or table.listing is None:
                raise CatalogError(
                    f"{tables[0].name}: `for_each` names no table of the source that is listed."
                )
            tables.remove(table)
            done.add(table.name)
            found[table.listing.api] = (*found.get(table.listing.api, ()), table)
        return found

    def fed_by(self, source_table: str) -> tuple[Entity, ...]:
        """Entities that loads of this source table feed."""
        return tuple(e for e in self.entities.values() if source_table in e.source_tables)


def read_catalog(manifest: Path, *, patience: float = _PATIENCE) -> Catalog:
    """Read `manifest.json`.

    Args:
        manifest: The file.
        patience: Seconds to look again where it is half written.

    Raises:
        CatalogError: There is no manifest; the message names the command that makes it.
        HalfWrittenError: It stayed half written.
    """
    until = monotonic() + patience
    while (content := _content(manifest)) is None:
        if monotonic() >= until:
            raise HalfWrittenError(f"{manifest} is only half there: run `dbt parse`.")
        sleep(_LOOK_AGAIN)
    nodes: dict[str, dict[str, Any]] = content["nodes"]
    sources: dict[str, dict[str, Any]] = content["sources"]
    curated = {
        node["name"]: node
        for node in nodes.values()
        if node["resource_type"] == "model" and node["config"]["materialized"] == "curated"
    }
    entities = {name: _entity(node, nodes, sources) for name, node in curated.items()}
    loadable = (
        _source_table(node) for node in sources.values() if "load" in node["config"]["meta"]
    )
    source_tables = {source.name: source for source in loadable}
    through = {link["through"] for node in curated.values() for link in _links(node)}
    turns = _turns(entities[name] for name in through)
    entities = {
        name: replace(
            entity,
            link_turn=turns.get(name, ""),
            file_sources=tuple(
                source for source in entity.source_tables if source_tables[source].formats
            ),
        )
        for name, entity in entities.items()
    }
    catalog = Catalog(
        entities={
            name: replace(
                entity,
                links=tuple(_link(link, entity, entities) for link in _links(curated[name])),
                linked_in=tuple(
                    other
                    for other in entities.values()
                    if other.name in through and other.references(entity)
                ),
            )
            for name, entity in entities.items()
        },
        source_tables=source_tables,
        staging=_staging(curated, entities, nodes),
    )
    _check(catalog)
    return catalog


def _content(manifest: Path) -> Any:  # noqa: ANN401  what JSON has
    """None where it is no whole document."""
    try:
        return json.loads(manifest.read_bytes())
    except FileNotFoundError:
        raise CatalogError(f"{manifest} is missing: run `dbt parse`.") from None
    except ValueError:
        return None


def _check(catalog: Catalog) -> None:
    for table in catalog.source_tables.values():
        named = table.listing.parent_fields if table.listing else ()
        for column in table.columns:
            if column.parent_field and column.parent_field not in named:
                raise CatalogError(
                    f"{table.name}: `path` does not name the parent's {column.parent_field}."
                )
    apis = [api.name for api in catalog.listed]
    for name in apis:
        if apis.count(name) > 1:
            raise CatalogError(
                f"{name}: the tables of a source have one `http`, that of the source."
            )


def _parent(source_table: SourceTable) -> str | None:
    return source_table.listing.for_each if source_table.listing else None


def _entity(
    node: dict[str, Any], nodes: dict[str, dict[str, Any]], sources: dict[str, dict[str, Any]]
) -> Entity:
    meta = node["config"]["meta"]
    key = next(
        (c["columns"] for c in node["constraints"] if c["type"] == "primary_key"),
        None,
    )
    if not key:
        raise CatalogError(
            f"{node['original_file_path']}: {node['name']} has no primary_key constraint; "
            "add one at model level."
        )
    references = _references(node, nodes)
    return Entity(
        name=node["name"],
        schema=node["schema"],
        table=node["alias"],
        title=meta.get("title", node["name"].replace("_", " ").capitalize()),
        description=_sentence(node["description"]),
        path=meta.get("api", {}).get("path"),
        key=tuple(key),
        columns=tuple(
            _column(c, key, references, _limits(c, node), _next_key(c, node))
            for c in node["columns"].values()
        ),
        rules=_rules(node),
        source_tables=_ancestors(node, nodes, sources),
        search=tuple(meta.get("search", ())),
        is_restricted=meta.get("api", {}).get("restricted", False),
        sample=meta.get("api", {}).get("sample"),
        sync=_sync(node),
        is_in_lake=bool(meta.get("lake", False)),
        lake_pii=_lake_pii(node),
    )


def _column(
    column: dict[str, Any],
    key: list[str],
    references: dict[str, str],
    limits: dict[str, Any],
    next_key: str | None,
) -> Column:
    meta = column["config"]["meta"]
    name = column["name"]
    return Column(
        name=name,
        data_type=column["data_type"],
        title=_title(column),
        description=_sentence(column["description"]),
        is_nullable=name not in key
        and not any(c["type"] == "not_null" for c in column["constraints"]),
        is_server_owned=meta.get("server_owned", False) or name in PROVENANCE,
        default=meta.get("default", next_key),
        enum=tuple(meta.get("enum", ())),
        examples=tuple(meta.get("examples", ())),
        references=references.get(name),
        is_personal=bool(meta.get("pii")),
        is_hashed=meta.get("pii") == "hash",
        is_bounded=_is_bounded(column),
        **limits,
    )


def _lake_pii(node: dict[str, Any]) -> LakePii:
    declared = node["config"]["meta"].get("lake", False)
    pii: LakePii = declared.get("pii", "leave_out") if isinstance(declared, dict) else "leave_out"
    if pii not in get_args(LakePii) or (isinstance(declared, dict) and set(declared) - {"pii"}):
        raise CatalogError(
            f"{node['name']}: `lake` is true, false or {{pii: {' | '.join(get_args(LakePii))}}}."
        )
    return pii


def _sync(node: dict[str, Any]) -> Sync | None:
    try:
        return sync_of(node["config"]["meta"].get("sync"), node["columns"])
    except ValueError as error:
        raise CatalogError(f"{node['name']}: {error}.") from None


def _links(node: dict[str, Any]) -> list[dict[str, str]]:
    found: list[dict[str, str]] = node["config"]["meta"].get("links", [])
    return found


def _link(link: dict[str, str], entity: Entity, entities: dict[str, Entity]) -> Link:
    through = entities.get(link["through"])
    columns = through.columns_by_name if through else {}
    near, far = columns.get(link["from"]), columns.get(link["to"])
    ends = {link["from"], link["to"]}
    if not (
        through
        and near
        and far
        and near.references == entity.name
        and far.references
        and any(r.kind == "unique" and set(r.columns) == ends for r in through.rules)
    ):
        raise CatalogError(
            f"{entity.name}: the link {link['name']} goes through a model with a foreign key to "
            f"{entity.name} (`from`), one to another (`to`), and a unique constraint on the two."
        )
    return Link(link["name"], link["path"], through, near, far)


def _turns(through: Iterable[Entity]) -> dict[str, str]:
    """The first name of those that each entity is connected with by links."""
    turns: dict[str, str] = {}
    for link in through:
        names = {link.name, *(c.references for c in link.columns if c.references)}
        joined = {turns[name] for name in names & set(turns)}
        names |= {name for name, turn in turns.items() if turn in joined}
        turns |= dict.fromkeys(names, min(names))
    return turns


def _next_key(column: dict[str, Any], node: dict[str, Any]) -> str | None:
    """SQL; the macro `make_curated_table` makes the sequence."""
    if not column["config"]["meta"].get("sequence"):
        return None
    sequence = f"{node['schema']}.{node['alias']}__{column['name']}"
    ledger = f"journal.ledger_{node['name']}"
    return f"journal.next_key('{sequence}', '{ledger}', '{node['name']}')"


def _limits(column: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    """What simple checks, joined by `and`, say of a column."""
    limits: dict[str, Any] = {}
    name = re.escape(column["name"])
    for constraint in (*node["constraints"], *column["constraints"]):
        expression = _sentence(constraint.get("expression") or "")
        if constraint["type"] != "check" or re.search(r"\bor\b", expression):
            continue
        between = re.fullmatch(rf"{name} between {_NUMBER} and {_NUMBER}", expression)
        if between:
            limits |= {"minimum": between[1], "maximum": between[2]}
        for part in expression.split(" and "):
            if found := re.fullmatch(rf"{name} (>=|<=) {_NUMBER}", part):
                limits["minimum" if found[1] == ">=" else "maximum"] = found[2]
            elif found := re.fullmatch(rf"(?:\w+_)?length\({name}\) <= (\d+)", part):
                limits["max_length"] = int(found[1])
    return limits


def _references(node: dict[str, Any], nodes: dict[str, dict[str, Any]]) -> dict[str, str]:
    """The models that columns refer to by a foreign key of their own.

    After a build the name of the table stands in the place of `ref('<model>')`.
    """
    models = {
        n["alias"]: n["name"]
        for n in nodes.values()
        if n["resource_type"] == "model" and n["config"]["materialized"] == "curated"
    }
    names = models | {name: name for name in models.values()}
    at_columns = (
        ({"columns": [name], **constraint})
        for name, column in node["columns"].items()
        for constraint in column["constraints"]
    )
    return {
        constraint["columns"][0]: names[found[-1]]
        for constraint in (*node["constraints"], *at_columns)
        if constraint["type"] == "foreign_key"
        and len(constraint["columns"]) == 1
        and (found := re.findall(r"\w+", constraint["to"]))
        and found[-1] in names
    }


def _rules(node: dict[str, Any]) -> tuple[Rule, ...]:
    """The rules that the contract names, then those that its columns imply.

    The macro `contract_rules` names the implied ones alike.
    """
    rules = [_rule(rule, node) for rule in node["config"]["meta"].get("rules", ())]
    # A uniqueness of some rows is another than that of all.
    known = {
        (rule.kind, rule.columns)
        for rule, declared in zip(rules, node["config"]["meta"].get("rules", ()), strict=True)
        if "where" not in declared
    }
    bounded = {rule["bound"] for rule in node["config"]["meta"].get("rules", ()) if "bound" in rule}
    implied = [
        Rule(
            "field_count",
            "fields",
            (),
            "The row has more or fewer fields than the header, or is too long.",
        )
    ]
    for name, column in node["columns"].items():
        title = _title(column)
        readable = f"{title}: give {form_of(column['data_type'])}."
        implied.append(Rule(f"{name}_type", "cast", (name,), readable))
        if _is_mandatory(column, node):
            implied.append(Rule(f"{name}_required", "not_null", (name,), f"{title} is mandatory."))
        if _is_bounded(column) and name not in bounded:
            bound = f"{title} has at most {MAX_DIGITS} significant digits, and is in the range of "
            bound += "double precision (1.8e308)."
            implied.append(Rule(f"{name}_bound", "check", (name,), bound))
        for by, values in column["config"]["meta"].get("only", {}).items():
            variants = f"{_title(node['columns'][by])} {' or '.join(values)}"
            only = f"{title} is only for {variants}."
            implied.append(Rule(f"{name}_only", "check", (by, name), only))
    for constraint in node["constraints"]:
        if constraint["type"] in ("primary_key", "unique"):
            columns = tuple(constraint["columns"])
            titles = ", ".join(_title(node["columns"][name]) for name in columns)
            taken = f"{titles}: another row has this."
            implied.append(Rule(f"{'_'.join(columns)}_unique", "unique", columns, taken))
        elif constraint["type"] == "foreign_key":
            columns = tuple(constraint["columns"])
            title = _title(node["columns"][columns[0]])
            there = f"{title}: there is no such row, or others refer to it."
            implied.append(Rule(f"{columns[0]}_exists", "reference", columns, there))
    names = {rule.name for rule in rules}
    rules += [
        rule
        for rule in implied
        if rule.name not in names
        # a column has any number of checks
        and (rule.kind == "check" or (rule.kind, rule.columns) not in known)
    ]
    partial = {rule["name"] for rule in node["config"]["meta"].get("rules", ()) if "where" in rule}
    return (*rules, *_computed_key(node, rules, partial))


def _computed_key(
    node: dict[str, Any], rules: Iterable[Rule], partial: Container[str]
) -> Iterator[Rule]:
    """What a key is computed from is a uniqueness, if no other rule says so.

    The macro `computed_key_rules` says why, and finds it alike. `partial` are the names of
    rules of some rows.
    """
    key = next(c["columns"] for c in node["constraints"] if c["type"] == "primary_key")
    declared = node["columns"].get(key[0], {"config": {"meta": {}}})
    formula = re.sub("'[^']*'", "''", (declared["config"]["meta"].get("default") or "").lower())
    words = re.findall(r"(?<![\w.:])[a-z_][a-z0-9_]*(?![a-z0-9_]|\s*[('])", formula)
    columns = tuple(name for name in node["columns"] if name in words and name not in key)
    is_mandatory = all(_is_mandatory(node["columns"][name], node) for name in columns)
    telling = {"md5"} | ({"concat", "concat_ws", "coalesce"} if is_mandatory else set())
    is_told = set(re.findall(r"([a-z_][a-z0-9_]*)\s*\(", formula)) <= telling
    is_said = is_told and any(
        rule.kind == "unique"
        and rule.severity == "error"
        and rule.name not in partial
        and set(rule.columns) == set(columns)
        for rule in rules
    )
    if columns and not is_said:
        titles = " and ".join(_title(node["columns"][name]) for name in columns)
        yield Rule(
            f"{key[0]}_computed_unique",
            "unique",
            columns,
            f"{titles}: another row has the same, and rows are told apart by them.",
        )


def _is_bounded(column: dict[str, Any]) -> bool:
    """A number without a modifier, such as `(8, 2)`, of which the contract says nothing else."""
    meta = column["config"]["meta"]
    return column["data_type"] in ("numeric", "decimal") and bool(meta.get("bound", True))


def _is_mandatory(column: dict[str, Any], node: dict[str, Any]) -> bool:
    """Not null by its contract, or a key that comes from a source."""
    return any(c["type"] == "not_null" for c in column["constraints"]) or (
        not column["config"]["meta"].get("server_owned")
        and any(
            c["type"] == "primary_key" and column["name"] in c["columns"]
            for c in node["constraints"]
        )
    )


def _rule(rule: dict[str, Any], node: dict[str, Any]) -> Rule:
    kind: RuleKind
    message = _sentence(rule["message"])
    if rule.get("severity") == "warn" and "where" in rule:
        raise CatalogError(f"{rule['name']}: a warning that something is unique has no `where`.")
    if "determinant" in rule:
        determinant = _listed(rule["determinant"])
        kind, columns = "dependency", (*determinant, *rule["dependent"])
        if not _is_unique(determinant, node) and "PATCH" not in message:
            titles = " and ".join(_title(node["columns"][name]) for name in determinant)
            message += f" To change it, PATCH all rows of one {titles} in one request."
    elif "unique" in rule:
        kind, columns = "unique", tuple(rule["unique"])
    elif "reference" in rule:
        kind, columns = "reference", (rule["reference"],)
    elif "broken_by" in rule:
        kind, columns = "query", tuple(rule["columns"])
    elif "not_null" in rule:
        kind, columns = "not_null", (rule["not_null"],)
    elif "cast" in rule:
        kind, columns = "cast", (rule["cast"],)
    elif "bound" in rule:
        kind, columns = "check", (rule["bound"],)
    else:
        kind, columns = "check", tuple(rule["columns"])
    return Rule(
        name=rule["name"],
        kind=kind,
        columns=columns,
        message=message,
        severity=rule.get("severity", "error"),
        expression=rule.get("expression"),
    )


def _listed(names: str | list[str]) -> list[str]:
    return [names] if isinstance(names, str) else names


def _is_unique(columns: list[str], node: dict[str, Any]) -> bool:
    """Whether one row at most has these values."""
    return any(
        c["type"] in ("primary_key", "unique") and set(c["columns"]) == set(columns)
        for c in node["constraints"]
    )


def _ancestors(
    node: dict[str, Any], nodes: dict[str, dict[str, Any]], sources: dict[str, dict[str, Any]]
) -> tuple[str, ...]:
    """The loadable source tables that a model is made from, through any number of models.

    What a curated model refers to does not feed it.
    """
    found: set[str] = set()
    for parent in node["depends_on"]["nodes"]:
        if parent in sources:
            if "load" in sources[parent]["config"]["meta"]:
                found.add(_source_name(sources[parent]))
        elif parent in nodes and nodes[parent]["config"]["materialized"] != "curated":
            found.update(_ancestors(nodes[parent], nodes, sources))
    return tuple(sorted(found))


def _staging(
    curated: dict[str, dict[str, Any]],
    entities: dict[str, Entity],
    nodes: dict[str, dict[str, Any]],
) -> dict[str, StagingModel]:
    """The views that curated models are made from at once."""
    fed: dict[str, list[Entity]] = {}
    for name, node in curated.items():
        for parent in node["depends_on"]["nodes"]:
            if parent in nodes and nodes[parent]["config"]["materialized"] == "view":
                fed.setdefault(parent, []).append(entities[name])
    return {
        nodes[parent]["name"]: StagingModel(
            name=nodes[parent]["name"],
            schema=nodes[parent]["schema"],
            table=nodes[parent]["alias"],
            description=_sentence(nodes[parent]["description"]),
            descriptions={
                name: _sentence(column["description"])
                for name, column in nodes[parent]["columns"].items()
            },
            feeds=tuple(feeds),
        )
        for parent, feeds in fed.items()
    }


def _source_table(node: dict[str, Any]) -> SourceTable:
    load = node["config"]["meta"]["load"]
    name = _source_name(node)
    try:
        listing = listing_of(node["config"]["meta"], node["source_name"])
    except ValueError as error:
        raise CatalogError(f"{name}: {error}.") from None
    return SourceTable(
        name=name,
        schema=node["schema"],
        table=node["identifier"],
        description=_sentence(node["description"]),
        columns=tuple(_source_column(column) for column in node["columns"].values()),
        formats=() if listing else tuple(load.get("formats", ENDINGS)),
        sheet=load.get("sheet"),
        delimiter=load.get("delimiter"),
        encoding=load.get("encoding"),
        sample=load.get("sample"),
        enrichment=_enrichment(node),
        exchange=tuple(load.get("exchange", ())),
        listing=listing,
    )


def _enrichment(node: dict[str, Any]) -> Enrichment | None:
    declared = node["config"]["meta"].get("enrich")
    if declared is None:
        return None
    parts = {"with": "program", "model": "entity", "column": "column"}
    parts |= {"value": "value", "version": "version"}
    if missing := [key for key in parts if key not in declared]:
        raise CatalogError(f"{_source_name(node)}: config.meta.enrich lacks {', '.join(missing)}.")
    return Enrichment(**{field: declared[key] for key, field in parts.items()})


def _source_column(column: dict[str, Any]) -> SourceColumn:
    meta = column["config"]["meta"]
    for text in (column["name"], meta.get("header"), meta.get("export")):
        # The driver would put a value in its place where rows are exported.
        if _PLACEHOLDER.search(text or ""):
            raise CatalogError(
                f"{text}: a header or an export cannot have $ before a digit; give another."
            )
    return SourceColumn(
        name=column["name"],
        header=meta.get("header", column["name"]),
        aliases=tuple(meta.get("aliases", ())),
        is_mandatory=meta.get("mandatory", False),
        description=_sentence(column["description"]),
        examples=tuple(meta.get("examples", ())),
        column=meta.get("column"),
        export=meta.get("export"),
        parent_field=meta.get("parent"),
    )


def _source_name(node: dict[str, Any]) -> str:
    return f"{node['source_name']}.{node['name']}"


def _title(column: dict[str, Any]) -> str:
    title: str = (
        column["config"]["meta"].get("title") or column["name"].replace("_", " ").capitalize()
    )
    return title


def _sentence(text: str) -> str:
    """Text of a folded YAML block, on one line."""
    return " ".join(text.split())
