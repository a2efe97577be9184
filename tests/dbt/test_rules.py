"""What the contract of metabolites refuses, repairs and warns of, row by row."""

import pytest

from tests.conftest import SHARED
from tests.warehouse import Warehouse

# Standard InChIs of methane, ethane, ... : enough different ones to tell rows apart.
INCHI = [
    "InChI=1S/CH4/h1H4",
    "InChI=1S/C2H6/c1-2/h1-2H3",
    "InChI=1S/C3H8/c1-3-2/h3H2,1-2H3",
    "InChI=1S/C4H10/c1-3-4-2/h3-4H2,1-2H3",
    "InChI=1S/C5H12/c1-3-5-4-2/h3-5H2,1-2H3",
    "InChI=1S/C6H14/c1-3-5-6-4-2/h3-6H2,1-2H3",
    "InChI=1S/C7H16/c1-3-5-7-6-4-2/h3-7H2,1-2H3",
    "InChI=1S/C8H18/c1-3-5-7-8-6-4-2/h3-8H2,1-2H3",
    "InChI=1S/H2O/h1H2",
    "InChI=1S/H3N/h1H3",
    "InChI=1S/CO2/c2-1-3",
    "InChI=1S/C2H6O/c1-2-3/h3H,2H2,1H3",
    "InChI=1S/CH4O/c1-2/h2H,1H3",
]


def test_one_row_of_each_trouble(warehouse: Warehouse) -> None:
    """Every good row is curated, every bad one is rejected under the rule that it breaks."""
    good = {
        2: ["plain", "1", INCHI[0], "74-82-8", "GC", "0.5"],
        3: ["level-as-decimal", "2.0", INCHI[1], "", "GC", "ND"],
        4: ["not a plain name", "", INCHI[2], "", "GC", "NA"],
        5: ["zero-padded-cas", "3", "", "14798-03-09", "GC", ""],
        6: ["twice", "4", INCHI[3], "", "GC", "1.50"],
        7: ["twice", "4", INCHI[3], "", "GC", "1.50"],
        8: ["line-break", "5", "InChI=1S/C5H12/c1-3-5-4-2\n/h3-5H2,1-2H3", "", "GC", "1e-3"],
    }
    bad = {
        9: (["no-identifier", "1", "", "", "GC", "1"], ["inchi_or_cas"]),
        10: (["", "1", INCHI[5], "", "GC", "1"], ["feature_required"]),
        11: (["no-method", "1", INCHI[6], "", " ", "1"], ["method_required"]),
        12: (["level-0", "0", INCHI[6], "", "GC", "1"], ["identification_level_range"]),
        13: (["level-6", "6", INCHI[6], "", "GC", "1"], ["identification_level_range"]),
        14: (["level-high", "high", INCHI[6], "", "GC", "1"], ["identification_level_type"]),
        15: (["comma", "1", INCHI[6], "", "GC", "0,5"], ["sample_value_type"]),
        16: (["letters", "1", INCHI[6], "", "GC", "abc"], ["sample_value_type"]),
        17: (["nan", "1", INCHI[6], "", "GC", "NaN"], ["sample_value_type"]),
        18: (["huge", "1", INCHI[6], "", "GC", "1e400"], ["sample_value_range"]),
        19: (["tiny", "1", INCHI[6], "", "GC", "1e-400"], ["sample_value_range"]),
        20: (["cas-digit", "1", "", "56-86-1", "GC", "1"], ["cas_number_valid"]),
        21: (["cas-date", "1", "", "2005-03-09", "GC", "1"], ["cas_number_valid"]),
        22: (["inchi", "1", "InChI=1S/banana", "", "GC", "1"], ["inchi_valid"]),
        23: (["two-methods", "1", INCHI[7], "", "GC", "1"], ["one_method_per_feature"]),
        24: (["two-methods", "1", INCHI[7], "", "LC", "1"], ["one_method_per_feature"]),
        25: (["two-inchis", "1", INCHI[8], "", "GC", "1"], ["one_identifier_per_feature"]),
        26: (["two-inchis", "1", INCHI[9], "", "GC", "1"], ["one_identifier_per_feature"]),
        27: (["inchi-a", "1", INCHI[10], "", "GC", "1"], ["one_feature_per_inchi"]),
        28: (["inchi-b", "1", INCHI[10], "", "GC", "1"], ["one_feature_per_inchi"]),
        29: (["cas-a", "1", "", "56-86-0", "GC", "1"], ["one_feature_per_cas"]),
        30: (["cas-b", "1", "", "56-86-0", "GC", "1"], ["one_feature_per_cas"]),
        31: (["two-values", "1", INCHI[11], "", "GC", "1"], ["one_row_per_feature"]),
        32: (["two-values", "1", INCHI[11], "", "GC", "2"], ["one_row_per_feature"]),
        33: (["five-fields", "1", INCHI[12], "", "GC"], ["field_count"]),
    }
    load_id = warehouse.load(*good.values(), *(row for row, _ in bad.values()))
    warehouse.build()

    assert warehouse.rejected(load_id) == {number: rules for number, (_, rules) in bad.items()}
    curated = warehouse.query("select * from curated.metabolites order by updated_by")
    assert [row["feature"] for row in curated] == [
        row[0] for number, row in good.items() if number != 7
    ]
    account = warehouse.account(load_id)
    assert {name: account[name] for name in ("rows", "new", "duplicates", "rejected")} == {
        "rows": 32,
        "new": 6,
        "duplicates": 1,
        "rejected": 25,
    }
    assert account["warnings"] == {"feature_plain": 1, "unknown_has_no_structure": 2}
    assert account["repairs"] == {"identification_level": 2, "cas_number": 1, "id_inchi": 1}
    assert account["rules"]["sample_value_type"] == 3


def test_value_keeps_its_digits(warehouse: Warehouse) -> None:
    """A value is kept with exactly the digits of the file; ND and NA stay apart."""
    values: dict[str, tuple[str | None, str]] = {
        "0.016771177": ("0.016771177", "measured"),
        "1.50": ("1.50", "measured"),
        "1.2E-3": ("0.0012", "measured"),
        "-0.5": ("-0.5", "measured"),
        "ND": (None, "not_detected"),
        "n.d.": (None, "not_detected"),
        "NA": (None, "not_available"),
        "N/A": (None, "not_available"),
        "": (None, "not_available"),
    }
    warehouse.load(
        *(
            [f"value {given}", "1", inchi, "", "GC", given]
            for given, inchi in zip(values, INCHI, strict=False)
        )
    )
    warehouse.build()
    curated = warehouse.query(
        "select feature, sample_value::text as value, sample_status from curated.metabolites"
    )
    assert {
        row["feature"].removeprefix("value").strip(): (row["value"], row["sample_status"])
        for row in curated
    } == values


@pytest.mark.skipif(not SHARED.exists(), reason="the real input files are not on this machine")
def test_real_file(warehouse: Warehouse) -> None:
    """The 16 rows of the real file are curated, with the repairs and warnings it is known for."""
    file = SHARED / "inputs" / "metabolites" / "MetabolitesData_inputDataForTEst.csv"
    load_id = warehouse.load_file(file)
    warehouse.build()
    account = warehouse.account(load_id)
    assert (account["rows"], account["new"], account["rejected"]) == (16, 16, 0)
    assert account["repairs"] == {"id_inchi": 2, "cas_number": 1, "identification_level": 5}
    assert account["warnings"] == {
        "feature_plain": 3,
        "identified_has_inchi": 1,
        "unknown_has_no_structure": 3,
    }
    levels = warehouse.query(
        "select identification_level as level, count(*) from curated.metabolites group by 1"
    )
    assert {row["level"]: row["count"] for row in levels} == {1: 2, 2: 4, 3: 6, 4: 2, 5: 2}
    statuses = warehouse.query(
        "select sample_status as status, count(*) from curated.metabolites group by 1"
    )
    assert {row["status"]: row["count"] for row in statuses} == {
        "measured": 7,
        "not_detected": 8,
        "not_available": 1,
    }
