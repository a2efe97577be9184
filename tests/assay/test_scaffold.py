"""What is drafted from a file, and what is refused."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
import yaml

from assay import postgres
from assay.catalog import LIST_PARAMETERS, Catalog
from assay.scaffold import (
    MAX_NAME,
    MODELS,
    PLATFORM_WORDS,
    SQL_WORDS,
    Draft,
    column_names,
    scaffold,
)
from loader.errors import LoadError
from tests.conftest import ROOT, SHARED

NOTHING = Catalog({}, {})


def drafted(folder: Path, text: str, file: str = "things.csv", **options: Any) -> dict[str, Any]:
    """The contract of what is drafted from a file of this text."""
    path = folder / file
    path.write_text(text)
    draft = scaffold(folder, NOTHING, path, **options)
    contract = folder / MODELS / f"marts/{draft.name}/_{draft.name}__models.yml"
    (model,) = yaml.safe_load(contract.read_text())["models"]
    return model  # type: ignore[no-any-return]


def column_of(model: dict[str, Any], name: str) -> dict[str, Any]:
    (column,) = (column for column in model["columns"] if column["name"] == name)
    return column  # type: ignore[no-any-return]


def names_of(*headers: str, limit: int = 36) -> list[str]:
    return list(column_names(list(headers), limit))


def key_of(model: dict[str, Any]) -> str:
    (key,) = (c["columns"][0] for c in model["constraints"] if c["type"] == "primary_key")
    return str(key)


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("Id", "id"),
        ("BIRTHDATE", "birthdate"),
        ("BASE_ENCOUNTER_COST", "base_encounter_cost"),
        ("lastUpdated", "last_updated"),
        ("userID", "user_id"),
        ("ID_InChI", "id_inchi"),
        ("Größe (cm)", "grosse_cm"),
        ("Prix à l'unité", "prix_a_l_unite"),
        ("名前", "column_1"),
        ("%", "column_1"),
        ("2020", "column_2020"),
        ("1st_name", "column_1st_name"),
        ("_hash", "hash"),
        ("__a__b__", "a_b"),
        ("order", "order_value"),
        ("Group", "group_value"),
        ("updated_at", "updated_at_value"),
        ("Repairs", "repairs_value"),
        ("row number", "row_number_value"),
        ("limit", "limit_value"),
        ("price_given", "price_given"),
        ("Proposals", "proposals_value"),
        ("ctid", "ctid_value"),
        ("x" * 80, "x" * 26),
    ],
)
def test_column_name(header: str, name: str) -> None:
    """A name is legal without quotes, and none that the platform has."""
    assert names_of(header) == [name]


def test_no_column_reads_like_another() -> None:
    """The loader knows a column by its header and by its name, without `_` and case."""
    assert names_of("A-B", "A B", "a.b", "order", "Order Value") == [
        *("a_b_2", "a_b", "a_b_3", "order_value_2", "order_value"),
    ]
    assert names_of("€", "$", "column 1") == ["column_1_2", "column_2", "column_1"]


def test_words_of_sql(server: postgres.Address) -> None:
    """All that PostgreSQL 18 does not take for any name, so add what it says."""
    with psycopg.connect(server.url) as connection:
        words = connection.execute("select word from pg_get_keywords() where catcode <> 'U'")
        system = connection.execute(
            "select attname from pg_attribute where attrelid = 'pg_class'::regclass and attnum < 0"
        )
        assert {word for (word,) in words} | {name for (name,) in system} == SQL_WORDS


def test_words_of_lists() -> None:
    """A column named like a parameter of lists would have no filter: it gets another name."""
    assert set(LIST_PARAMETERS) <= PLATFORM_WORDS
    named = list(column_names(list(LIST_PARAMETERS), 63))
    assert named == [f"{name}_value" for name in LIST_PARAMETERS]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("name,barcode\nb,002\na,001\n", "barcode"),
        ("name,n\nb,2\na,2\n", "name"),
        ("name,person_id\nb,2\na,3\n", "person_id"),
        ("price,ISBN\n1.5,12\n2.5,13\n", "isbn"),
        ("id,name\n1,a\n,b\n", "name"),
        ("id,name\n1,a\n1,b\n", "name"),
        ("price,on_day\n1.5,2024-01-01\n2.5,2024-01-02\n", "thing_id"),
        ("a\nx\nx\n", "thing_id"),
        (f"a\n{'x' * 501}\ny\n", "thing_id"),
        ("thing_id,b\n1,x\n1,x\n", "thing_id_2"),
    ],
)
def test_key(tmp_path: Path, text: str, key: str) -> None:
    """What tells rows apart: named like a key if there is one, else computed of all columns."""
    assert key_of(drafted(tmp_path, text)) == key


def test_computed_key(tmp_path: Path) -> None:
    """Its text is the same whatever the time zone of the session."""
    model = drafted(tmp_path, "a,b\n1.5,2024-01-01T10:00:00Z\n1.5,2024-01-01T10:00:00Z\n")
    meta = column_of(model, "thing_id")["config"]["meta"]
    assert meta["default"] == "md5(row(a, b at time zone 'UTC')::text)::uuid"
    assert meta["server_owned"]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("day,shop,sold\n2024-01-01,a,3\n2024-01-01,b,3\n2024-01-02,a,3\n", "day, shop"),
        # named like parts of a key before others, whole numbers only then
        (
            "shop,kind,order_no,line\na,x,1,1\na,y,1,2\na,x,2,1\na,y,2,2\n",
            "order_no, line",
        ),
        # of three where no two do
        ("a,b,c\nx,x,x\nx,x,y\nx,y,x\nx,y,y\ny,x,x\ny,x,y\ny,y,x\ny,y,y\n", "a, b, c"),
        # rows that are the same in all are one
        ("a,b\nx,x\nx,y\ny,x\nx,x\n", "a, b"),
        # no measured number, whatever its unit, and nothing that may be blank
        ("t,at,r\nx,2024-01-01,1.5 °C\nx,2024-01-01,1.6 °C\ny,2024-01-02,1.6 °C\n", None),
        ("a,b\nx,\nx,y\n", None),
        ("a,price\nx,1.5\nx,2.5\n", None),
        ("a,price\nx,8,95\n".replace("8,95", '"8,95"') + 'x,"9,95"\n', None),
        ("a,share\nx,5 %\nx,6%\n", None),
        ("a,n\nx,1\nx,1\ny,1\n", None),
    ],
)
def test_key_of_several_columns(tmp_path: Path, text: str, parts: str | None) -> None:
    """The smallest combination that tells rows apart; else the key is computed of the whole row."""
    model = drafted(tmp_path, text)
    default = column_of(model, key_of(model))["config"]["meta"]["default"]
    everything = text.partition("\n")[0].replace(",", ", ")
    assert default == f"md5(row({parts or everything})::text)::uuid"


def test_key_of_the_greenhouses(tmp_path: Path) -> None:
    """A sensor is calibrated once a day; its readings are text, since they have units."""
    readings = "".join(
        f"GH-0{h},T-0{s},2026-05-{d:02},SN{h}{s},{20 + d / 10:.1f} °C,{3 + s / 10:.2f} V,pass\n"
        for d in (2, 9)
        for h in (1, 2, 3)
        for s in (1, 2)
    )
    text = f"Greenhouse,Sensor,Calibrated on,Serial no,Reading,Battery,Status\n{readings}"
    model = drafted(tmp_path, text, "calibrations.csv")
    key = column_of(model, "calibration_id")
    assert key["config"]["meta"]["default"] == "md5(row(calibrated_on, serial_no)::text)::uuid"
    assert key["description"] == "Key of the row, computed from calibrated_on, serial_no."
    assert column_of(model, "reading")["data_type"] == "text"
    chosen = drafted(tmp_path, text, key=["Greenhouse", "sensor", "Calibrated on"], force=True)
    default = column_of(chosen, "thing_id")["config"]["meta"]["default"]
    assert default == "md5(row(greenhouse, sensor, calibrated_on)::text)::uuid"


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        (["a", "z"], r"there is no column 'z' to be a key; give `--key` some of a, b, n"),
        (["a"], r"a cannot be the key of the rows: they do not tell all apart; give `--key` more"),
        (["a", "b"], r"they do not tell all apart, since b may be blank"),
    ],
)
def test_key_that_is_none(tmp_path: Path, key: list[str], sentence: str) -> None:
    """What is chosen has to tell rows apart."""
    with pytest.raises(LoadError, match=sentence):
        drafted(tmp_path, "a,b,n\nx,y,1\nx,,2\n", key=key)


def test_key_that_is_chosen(tmp_path: Path) -> None:
    """One column is the key itself, whatever is named more like one; a measured one may be."""
    assert key_of(drafted(tmp_path, "id,name\n1,a\n2,b\n", key=["Name"])) == "name"
    assert key_of(drafted(tmp_path, "a,n\nx,1.5\nx,2.5\n", key=["n"], force=True)) == "thing_id"


def test_how_a_source_writes_days_and_decimals(tmp_path: Path) -> None:
    """Declared where a column proves it; examples are as the API writes them."""
    text = "article;sold_on;price\na;31.01.2026;8,95\nb;01.02.2026;12\n"
    model = drafted(tmp_path, text, "sales.csv")
    assert column_of(model, "sold_on")["config"]["meta"]["examples"] == ["2026-01-31"]
    assert column_of(model, "price")["config"]["meta"]["examples"] == [8.95]
    path = tmp_path / MODELS / "staging/sales/_sales__sources.yml"
    (table,) = yaml.safe_load(path.read_text())["sources"][0]["tables"]
    load = table["config"]["meta"]["load"]
    assert (load["dates"], load["decimal"]) == ("dmy", ",")
    (examples,) = (
        column["config"]["meta"]["examples"]
        for column in table["columns"]
        if column["name"] == "sold_on"
    )
    assert examples == ["31.01.2026", "01.02.2026"]
    test = yaml.safe_load((path.parent / "_sales__unit_tests.yml").read_text())["unit_tests"][0]
    # which knows no source
    assert test["given"][0]["rows"] == [{"_row_number": 2, "article": "a"}]


def test_endings(tmp_path: Path) -> None:
    """A draft takes files such as this one."""
    drafted(tmp_path, "a\tb\nx\ty\n", "tabs.tsv")
    path = tmp_path / MODELS / "staging/tabs/_tabs__sources.yml"
    (table,) = yaml.safe_load(path.read_text())["sources"][0]["tables"]
    assert table["config"]["meta"]["load"]["formats"] == ["csv", "tsv", "xlsx"]


def rules_of(model: dict[str, Any]) -> dict[str, str | None]:
    """Names of rules, with the expressions of checks."""
    checks = {c["name"]: c["expression"] for c in model["constraints"] if c["type"] == "check"}
    assert [line["rule"]["name"] for line in model["data_tests"]] == [
        rule["name"] for rule in model["config"]["meta"]["rules"]
    ]
    return {rule["name"]: checks.get(rule["name"]) for rule in model["config"]["meta"]["rules"]}


def test_rules(tmp_path: Path) -> None:
    """Only what the rows support, each with its line."""
    rows = "".join(f"{i},{i - 1},{'MF'[i % 2]},{['its', 'x'][i % 2]}\n" for i in range(40))
    model = drafted(tmp_path, f"id,delta,sex,word\n{rows}40,,,\n")
    assert rules_of(model) == {
        "id_unique": None,
        "id_required": None,
        "id_range": "id >= 0",
        "sex_known": "sex in ('F', 'M')",
        "word_known": "word in ('its', 'x')",
    }
    assert column_of(model, "sex")["config"]["meta"]["enum"] == ["F", "M"]


@pytest.mark.parametrize(
    ("values", "expression"),
    [
        (["it's", "b"] * 20, "a in ('b', 'it''s')"),
        (["x", "y"] * 19, "length(a) <= 50"),
        (["x"] * 40, "length(a) <= 50"),
        (["02134", "10001"] * 20, "length(a) <= 50"),
        (["{{ x }}", "y"] * 20, "length(a) <= 50"),
        ([f"v{i}" for i in range(12)] * 20, "a in ('v0', 'v1', 'v10', 'v11', 'v2', 'v3',"),
        ([f"v{i}" for i in range(13)] * 20, "length(a) <= 50"),
        (["x" * 51, "y"], "length(a) <= 100"),
        (["5", "0"], "a >= 0"),
        (["5", "-0.5"], None),
        (["2024-01-01"], None),
    ],
)
def test_check(tmp_path: Path, values: list[str], expression: str | None) -> None:
    """Options where few words come again and again, else a length; signs of numbers."""
    found = rules_of(drafted(tmp_path, "a,b\n" + "".join(f"{v},1\n" for v in values)))
    checks = [text for name, text in found.items() if text and name.startswith("a_")]
    assert [text.startswith(expression or "") for text in checks] == [True] * bool(expression)


def test_types_and_examples(tmp_path: Path) -> None:
    """Examples are values as the API writes them; text is text for all readers of YAML."""
    model = drafted(tmp_path, "zip,n,x,at,is_on\n02134,7,2.50,2024-01-01 10:00,TRUE\n")
    columns = {
        c["name"]: (c["data_type"], c["config"]["meta"]["examples"]) for c in model["columns"][:5]
    }
    assert columns == {
        "zip": ("text", ["02134"]),
        "n": ("integer", [7]),
        "x": ("numeric", [2.5]),
        "at": ("timestamptz", ["2024-01-01T10:00:00Z"]),
        "is_on": ("boolean", [True]),
    }
    contract = (tmp_path / MODELS / "marts/things/_things__models.yml").read_text()
    assert 'examples: ["02134"]' in contract


def draft_of(folder: Path, file: str = "things.csv", text: str = "a\n1\n", **options: Any) -> Draft:
    (folder / file).write_text(text)
    return scaffold(folder, options.pop("catalog", NOTHING), folder / file, **options)


def test_files(tmp_path: Path) -> None:
    """Two datasets of one source describe themselves apart."""
    assert {path.name for path in draft_of(tmp_path, source="shop").files} >= {
        "_shop__things__sources.yml",
        "stg_shop__things.sql",
        "things.sql",
        "rejected_things.sql",
    }
    draft = draft_of(tmp_path, "Other Things (2).csv", source="shop")
    assert draft.name == "other_things_2"
    assert all((tmp_path / path).exists() for path in draft.files)


@pytest.mark.parametrize(
    ("file", "options", "sentence"),
    [
        ("a.json", {}, r"a.json: .json files are not read; save it as .xlsx or CSV\."),
        ("a.xls", {}, r"a.xls: .xls files are not read"),
        ("1.csv", {}, r"makes no name for tables; pass `--name NAME`"),
        ("select.csv", {}, r"makes no name for tables"),
        ("a.csv", {"name": "Things"}, r"'Things' is no name for tables; give --name small"),
        ("a.csv", {"name": "a__b"}, r"'a__b' is no name for tables"),
        ("a.csv", {"name": "order"}, r"'order' is a word of SQL, and no name for tables; give"),
        ("a.csv", {"source": "x" * (MAX_NAME + 1)}, r"is no name for tables; give --source"),
        ("users.csv", {}, r"is the platform's; pass `--name NAME`"),
        ("a.csv", {"source": "journal"}, r"is the platform's"),
        ("b.csv", {"name": "taken"}, r"there is a model taken already; pass `--name NAME`"),
    ],
)
def test_refused(tmp_path: Path, file: str, options: dict[str, str], sentence: str) -> None:
    """Nothing is written, and the sentence names the file and what to do."""
    other = tmp_path / MODELS / "marts/others/taken.sql"
    other.parent.mkdir(parents=True)
    other.touch()
    with pytest.raises(LoadError, match=sentence) as refusal:
        draft_of(tmp_path, file, **options)
    assert refusal.value.file == file
    assert list((tmp_path / MODELS).rglob("*.*")) == [other]


TYPED = (
    "x",
    "1",
    "4006381333931",
    "1.5",
    "true",
    "2024-01-01",
    "2024-01-01T10:00:00Z",
    str(UUID(int=1)),
)


@pytest.mark.parametrize("lines", [1, 2])
def test_longest_names(tmp_path: Path, lines: int) -> None:
    """No line of SQL is too long, nor any name for PostgreSQL; with and without a column as key."""
    for name in (".sqlfluff", ".sqlfluffignore", "dbt_project/macros"):
        copy: Any = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        (tmp_path / name).parent.mkdir(exist_ok=True)
        copy(ROOT / name, tmp_path / name)
    header = ",".join(f"{'word ' * 20}{i}" for i in range(len(TYPED)))
    text = f"{header}\n" + f"{','.join(TYPED)}\n" * lines
    long = "x" * MAX_NAME
    for options in ({}, {"name": long, "source": f"{long[1:]}y"}):
        model = drafted(tmp_path, text, **options)
        for rule in rules_of(model):
            assert len(f"{model['name']}__{rule}") <= 63
    linted = subprocess.run(
        [Path(sys.executable).with_name("sqlfluff"), "lint", "dbt_project"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert linted.returncode == 0, linted.stdout


@pytest.mark.skipif(not SHARED.exists(), reason="the original inputs are not in ../shared")
def test_original_inputs(tmp_path: Path) -> None:
    """A file that a dataset of this project was made for is drafted as one could have begun."""
    (file,) = SHARED.glob("inputs/metabolites/*.csv")
    draft = scaffold(tmp_path, NOTHING, file, name="measurements", source="laboratory")
    assert (draft.rows, draft.key) == (16, "features")
    (workbook,) = SHARED.glob("inputs/metabolites/*.xlsx")
    with pytest.raises(LoadError, match="several sheets have text"):
        scaffold(tmp_path, NOTHING, workbook, name="others")


def test_header_that_is_a_template(tmp_path: Path) -> None:
    """It would be run by dbt."""
    with pytest.raises(LoadError, match=r"the header '{{ x }}' would be a template"):
        draft_of(tmp_path, text="{{ x }}\n1\n")


def test_missing_file(tmp_path: Path) -> None:
    """As for a load."""
    with pytest.raises(LoadError, match=r"a.csv: the file cannot be read .* check its path"):
        scaffold(tmp_path, NOTHING, tmp_path / "a.csv")


def test_written_over_only_by_force(tmp_path: Path) -> None:
    """A draft that was edited is not lost by a second run."""
    draft = draft_of(tmp_path)
    (tmp_path / draft.files[0]).write_text("edited")
    with pytest.raises(LoadError, match=r"exists already; .*`--force` to replace it"):
        draft_of(tmp_path)
    assert (tmp_path / draft.files[0]).read_text() == "edited"
    assert draft_of(tmp_path, force=True) == draft
    assert (tmp_path / draft.files[0]).read_text() != "edited"


def test_known_headers(tmp_path: Path, catalog: Catalog) -> None:
    """A file that a source table takes already needs no dataset."""
    (table, *_) = catalog.source_tables.values()
    text = ",".join(column.header for column in table.columns)
    values = ",".join("1" for _ in table.columns)
    with pytest.raises(LoadError, match=rf"it has the headers of {table.name}; load it: `assay"):
        draft_of(tmp_path, text=f"{text}\n{values}\n", catalog=catalog)


def test_path_of_another(tmp_path: Path, catalog: Catalog) -> None:
    """An address of the API is taken once."""
    entity = replace(catalog.served[0], name="others", path="some-things")
    taken = Catalog({"others": entity}, {})
    with pytest.raises(LoadError, match=r"the API has a path some-things already; pass `--name"):
        draft_of(tmp_path, "some things.csv", catalog=taken)
