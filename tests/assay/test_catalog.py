"""What the catalog reads from a manifest."""

import json
from pathlib import Path
from typing import Any

import pytest

from assay.catalog import Catalog, CatalogError, Rule, StagingModel, read_catalog


def column(name: str, *constraints: str, **meta: Any) -> dict[str, Any]:
    return {
        "name": name,
        "data_type": "text",
        "description": "A  folded\n  text.",
        "constraints": [{"type": kind} for kind in constraints],
        "config": {"meta": meta},
    }


def manifest(**changes: Any) -> dict[str, Any]:
    """A manifest with a mart that is fed by one source through one staging model."""
    mart = {
        "name": "pets",
        "alias": "pets",
        "schema": "curated",
        "resource_type": "model",
        "description": "One row per pet.",
        "original_file_path": "models/pets.yml",
        "depends_on": {"nodes": ["model.staging"]},
        "config": {
            "materialized": "curated",
            "meta": {
                "api": {"path": "pets"},
                "rules": [
                    {"name": "name_given", "not_null": "name", "message": "A pet\nhas a name."},
                    {"name": "one_chip", "unique": ["chip"], "message": "The chip is taken."},
                    {
                        "name": "one_owner",
                        "determinant": "name",
                        "dependent": ["owner"],
                        "message": "One owner.",
                    },
                    {
                        "name": "short",
                        "columns": ["name"],
                        "severity": "warn",
                        "expression": "length(name) < 9",
                        "message": "A long name.",
                    },
                ],
            },
        },
        "constraints": [
            {"type": "primary_key", "columns": ["chip_id"]},
            {"type": "unique", "columns": ["chip"]},
        ],
        "columns": {
            c["name"]: c
            for c in (
                column("chip_id", default="md5(chip)", server_owned=True),
                column("name", "not_null", title="Name"),
                column("chip", "not_null"),
                column("owner"),
            )
        },
    }
    staging = {
        "name": "stg",
        "schema": "staging",
        "alias": "stg_pets",
        "resource_type": "model",
        "description": "One row per\n  raw row.",
        "columns": {"chip": column("chip")},
        "config": {"materialized": "view", "meta": {}},
        "depends_on": {"nodes": ["source.vet.pets"]},
    }
    source = {
        "source_name": "vet",
        "name": "pets",
        "schema": "raw",
        "identifier": "vet__pets",
        "description": "",
        "config": {"meta": {"load": {"sample": "data/pets.csv"}}},
        "columns": {"name": column("name", header="Name", mandatory=True)},
    }
    return {
        "nodes": {"model.pets": mart | changes, "model.staging": staging},
        "sources": {"source.vet.pets": source},
    }


def read(content: dict[str, Any], folder: Path) -> Catalog:
    file = folder / "manifest.json"
    file.write_text(json.dumps(content))
    return read_catalog(file)


def test_no_manifest(tmp_path: Path) -> None:
    """The error names the command that makes one."""
    with pytest.raises(CatalogError, match="run `dbt parse`"):
        read_catalog(tmp_path / "manifest.json")


def test_mart_without_a_key(tmp_path: Path) -> None:
    """The error names the file and what to add."""
    with pytest.raises(CatalogError, match=r"models/pets\.yml.*primary_key"):
        read(manifest(constraints=[]), tmp_path)


def test_entity(tmp_path: Path) -> None:
    """A mart knows its path, key and columns, and the sources that feed it through staging."""
    catalog = read(manifest(), tmp_path)
    entity = catalog.entities["pets"]
    assert (entity.path, entity.key, entity.source_tables) == ("pets", ("chip_id",), ("vet.pets",))
    assert catalog.fed_by("vet.pets") == (entity,)
    assert catalog.served == (entity,)
    assert {c.name: (c.is_nullable, c.is_server_owned) for c in entity.columns} == {
        "chip_id": (False, True),
        "name": (False, False),
        "chip": (False, False),
        "owner": (True, False),
    }
    assert entity.columns[0].description == "A folded text."


def test_rules_by_what_postgresql_says(tmp_path: Path) -> None:
    """From a constraint's name or a column that is null one finds the rule and its message."""
    entity = read(manifest(), tmp_path).entities["pets"]
    rule = entity.rule_of_constraint("pets__one_chip")
    assert rule == Rule("one_chip", "unique", ("chip",), "The chip is taken.")
    given = entity.rule_of_null("name")
    assert given == Rule("name_given", "not_null", ("name",), "A pet has a name.")
    implied = entity.rule_of_null("chip")
    assert implied == Rule("chip_required", "not_null", ("chip",), "Chip is mandatory.")
    assert entity.rule_of_null("owner") is None
    assert entity.rule_of_constraint("pets__gone") is None


def test_implied_rules(tmp_path: Path) -> None:
    """What has no entry gets a name from its columns; what has one does not get a second."""
    entity = read(manifest(), tmp_path).entities["pets"]
    names = set(entity.rules_by_name)
    assert {"field_count", "owner_type", "chip_required", "chip_id_unique"} <= names
    assert not names & {"name_required", "chip_unique", "chip_id_required"}


@pytest.mark.parametrize(
    ("formula", "columns"),
    [
        ("md5(chip)::uuid", None),
        ("md5('owner of ' || chip)::uuid", None),
        ("md5(lower(chip))::uuid", ("chip",)),
        ("MD5(Chip || owner)::uuid", ("chip", "owner")),
        ("md5(concat_ws(' ', chip, name, date '2000-01-01'))::text", ("name", "chip")),
        ("chip || '-' || coalesce(owner, 'name')", ("chip", "owner")),
        ("gen_random_uuid()", None),
    ],
)
def test_what_a_key_is_computed_from_is_unique(
    tmp_path: Path, formula: str, columns: tuple[str, ...] | None
) -> None:
    """Unless a rule says so: of the same columns, and the formula tells apart what they do."""
    changed = manifest()
    (node,) = (n for n in changed["nodes"].values() if n["name"] == "pets")
    node["columns"]["chip_id"]["config"]["meta"]["default"] = formula
    entity = read(changed, tmp_path).entities["pets"]
    found = entity.rules_by_name.get("chip_id_computed_unique")
    assert (set(found.columns) if found else None) == (set(columns) if columns else None)
    assert found is None or found.kind == "unique"


def test_source_table(tmp_path: Path) -> None:
    """A source table knows its raw table, its headers and its sample."""
    source = read(manifest(), tmp_path).source_tables["vet.pets"]
    assert (source.schema, source.table, source.sample) == ("raw", "vet__pets", "data/pets.csv")
    assert [(c.header, c.is_mandatory) for c in source.columns] == [("Name", True)]


def test_limits_of_columns(tmp_path: Path) -> None:
    """Checks that say no more than a range or a length; of others nothing is guessed."""
    expressions = (
        "chip between 1 and 5",
        "length(name) <= 80 and name <> ''",
        "owner >= 0 or owner is null",
        "chip_id > 3 and chip_id <= 7.5",
    )
    checks = [
        {"type": "check", "name": f"c{number}", "expression": expression}
        for number, expression in enumerate(expressions)
    ]
    key = {"type": "primary_key", "columns": ["chip_id"]}
    columns = read(manifest(constraints=[key, *checks]), tmp_path).entities["pets"].columns_by_name
    limits = {
        name: (column.minimum, column.maximum, column.max_length)
        for name, column in columns.items()
    }
    assert limits == {
        "chip": ("1", "5", None),
        "name": (None, None, 80),
        "owner": (None, None, None),
        "chip_id": (None, "7.5", None),
    }


def test_restricted_and_personal(tmp_path: Path) -> None:
    """Both are said, and are not so where nothing is said."""
    plain = read(manifest(), tmp_path).entities["pets"]
    assert not plain.is_restricted
    assert not plain.has_personal_data
    content = manifest()
    (mart,) = (n for n in content["nodes"].values() if n["name"] == "pets")
    mart["config"]["meta"]["api"]["restricted"] = True
    mart["columns"]["owner"]["config"]["meta"]["pii"] = True
    pets = read(content, tmp_path).entities["pets"]
    assert pets.is_restricted
    assert [c.name for c in pets.columns if c.is_personal] == ["owner"]
    assert pets.has_personal_data


def test_what_the_lake_has(tmp_path: Path) -> None:
    """Models that say so; a personal column may be hashed there, and is hidden elsewhere alike."""
    assert not read(manifest(), tmp_path).entities["pets"].is_in_lake
    content = manifest()
    (mart,) = (n for n in content["nodes"].values() if n["name"] == "pets")
    mart["config"]["meta"]["lake"] = True
    mart["columns"]["owner"]["config"]["meta"]["pii"] = "hash"
    catalog = read(content, tmp_path)
    pets = catalog.entities["pets"]
    assert pets.is_in_lake
    assert {c.name: c.is_hashed for c in pets.columns if c.is_personal} == {"owner": True}
    assert catalog.staging == {
        "stg": StagingModel(
            "stg",
            "staging",
            "stg_pets",
            "One row per raw row.",
            {"chip": "A folded text."},
            (pets,),
        )
    }


@pytest.mark.parametrize("pii", ["leave_out", "hash", "keep"])
def test_the_owner_says_what_the_lake_has_of_people(tmp_path: Path, pii: str) -> None:
    content = manifest()
    (mart,) = (n for n in content["nodes"].values() if n["name"] == "pets")
    mart["config"]["meta"]["lake"] = {"pii": pii}
    pets = read(content, tmp_path).entities["pets"]
    assert (pets.is_in_lake, pets.lake_pii) == (True, pii)


@pytest.mark.parametrize("lake", [{"pii": "show"}, {"pii": True}, {"people": "keep"}])
def test_what_the_lake_cannot_have(tmp_path: Path, lake: dict[str, Any]) -> None:
    content = manifest()
    (mart,) = (n for n in content["nodes"].values() if n["name"] == "pets")
    mart["config"]["meta"]["lake"] = lake
    with pytest.raises(CatalogError, match="`lake` is true, false or"):
        read(content, tmp_path)


@pytest.mark.parametrize(
    ("sync", "fault"),
    [
        ({"path": "/p", "item": "rows"}, "knows no item"),
        ({"path": "p"}, "begins with /"),
        ({"path": "//else.where/p"}, "begins with /"),
        ({"path": "/p", "items": "pets"}, "`changes` or `rows`"),
        ({"path": "/p", "items": "rows"}, "`sync.delete` says"),
        ({"path": "/p", "delete": "/p/{key}"}, "`sync.delete` says"),
        ({"path": "/p", "items": "rows", "delete": "/p"}, "has {key}"),
        ({"path": "/p", "columns": ["chip", "tail"]}, "no column: tail"),
    ],
)
def test_what_no_receiver_gets(tmp_path: Path, sync: dict[str, Any], fault: str) -> None:
    content = manifest()
    (mart,) = (n for n in content["nodes"].values() if n["name"] == "pets")
    mart["config"]["meta"]["sync"] = sync
    with pytest.raises(CatalogError, match=fault):
        read(content, tmp_path)


def test_a_header_is_no_placeholder(tmp_path: Path) -> None:
    """Exports have values put into their SQL by the driver, wherever `$1` stands."""
    content = manifest()
    (source,) = content["sources"].values()
    column = next(iter(source["columns"].values()))
    column["config"]["meta"]["header"] = "Price $1"
    with pytest.raises(CatalogError, match=r"Price \$1"):
        read(content, tmp_path)
