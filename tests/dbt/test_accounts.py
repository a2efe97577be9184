"""What a load says of itself when much of it, or nothing, is fit to be curated."""

import io
import random
import re
import string

from rich.console import Console

from assay.report import print_loads
from tests.dbt.test_rules import INCHI
from tests.warehouse import Warehouse


def said(warehouse: Warehouse, load_id: int) -> str:
    """What a person reads of a load after a build."""
    text = io.StringIO()
    print_loads(Console(file=text, width=200), warehouse.url, warehouse.catalog, {load_id})
    return text.getvalue()


def test_a42_a_file_without_rows_empties_nothing(warehouse: Warehouse) -> None:
    """What an empty export leaves out is not taken away."""
    warehouse.load(["kept", "1", INCHI[0], "", "GC", "1"])
    warehouse.build()
    before = warehouse.query("select * from curated.metabolites")
    load_id = warehouse.load()
    warehouse.build()
    account = warehouse.account(load_id)
    assert (account["rows"], account["new"], account["rejected"]) == (0, 0, 0)
    assert warehouse.query("select * from curated.metabolites") == before


def test_a47_what_is_too_long_for_an_index_breaks_a_rule(warehouse: Warehouse) -> None:
    """An indexed text has at most 2,000 bytes, which PostgreSQL's index takes however random."""
    chance = random.Random(1)
    long = "".join(chance.choices(string.ascii_letters, k=1998))
    taken, refused = (f"{long}ab", f"{long}abc")
    wide = "".join(chance.choices("äöüßéèêñ", k=999))
    wide_taken, wide_refused = (f"{wide}ab", f"{wide}abc")
    load_id = warehouse.load(
        [taken, "1", INCHI[0], "", "GC", "1"],
        [refused, "1", INCHI[1], "", "GC", "1"],
        [wide_taken, "1", INCHI[2], "", "GC", "1"],
        [wide_refused, "1", INCHI[3], "", "GC", "1"],
        ["inchi", "1", f"InChI=1S/C{'9' * 3000}", "", "GC", "1"],
    )
    warehouse.build()
    assert warehouse.rejected(load_id) == {
        3: ["feature_length"],
        5: ["feature_length"],
        6: ["inchi_valid"],
    }
    curated = warehouse.query("select feature from curated.metabolites")
    assert {row["feature"] for row in curated} == {taken, wide_taken}


def test_a48_many_bad_rows_are_counted_and_a_few_shown(warehouse: Warehouse) -> None:
    """Counts per rule, at most 20 examples of each, and curated is as it was."""
    count = 2000
    warehouse.load(["kept", "1", INCHI[0], "", "GC", "1"])
    warehouse.build()
    before = warehouse.query("select * from curated.metabolites")
    bad = (
        ["none", "1", "", "", "GC", "1"],
        ["cas", "1", "", "56-86-1", "GC", "1"],
        ["value", "9", "", "", "", "1,5"],
        ["few", "1"],
    )
    each = count // len(bad)
    rows = ([f"{name}-{number}", *rest] for number in range(each) for name, *rest in bad)
    load_id = warehouse.load(*rows)
    warehouse.build()
    account = warehouse.account(load_id)
    assert (account["rows"], account["rejected"], account["new"]) == (count, count, 0)
    expected = {
        "inchi_or_cas": 2 * each,
        "cas_number_valid": each,
        "identification_level_range": each,
        "method_required": each,
        "sample_value_type": each,
        "field_count": each,
    }
    assert account["rules"] == expected
    assert warehouse.query("select * from curated.metabolites") == before
    text = said(warehouse, load_id)
    for rule, number in expected.items():
        assert f"  {rule}: {number:,} rows. " in text
    assert len(re.findall(r"^    row \d+: ", text, flags=re.MULTILINE)) == 20 * len(expected)
    assert "    row 2: none-0, 1, , , GC, 1\n" in text
    assert "    row 5: few-0,1\n" in text


def test_a49_much_that_is_rejected_is_a_warning(warehouse: Warehouse) -> None:
    """Good rows are curated whatever their share; more than 5 % of bad ones are warned of."""
    for number, (good, share) in enumerate(((19, None), (18, "5%"), (1, "50%"))):
        rows = [
            [f"good-{number}-{i}", "1", f"InChI=1S/C{number + 1}H{i + 2}", "", "GC", "1"]
            for i in range(good)
        ]
        load_id = warehouse.load(*rows, ["bad", "1", "", "", "GC", "1"])
        warehouse.build()
        account = warehouse.account(load_id)
        assert (account["new"], account["rejected"]) == (good, 1)
        warning = f"warning: {share} of the rows of metabolites are rejected"
        assert (warning in said(warehouse, load_id)) == (share is not None)
