"""What RDKit says of InChIs; expected values are those of public databases, masses also by hand."""

import pytest

from chemistry import structures

pytest.importorskip("rdkit", reason="the extra `chem` is not installed")

BENZOIC_ACID = "InChI=1S/C7H6O2/c8-7(9)6-4-2-1-3-5-6/h1-5H,(H,8,9)"
ACETONE = "InChI=1S/C3H6O/c1-3(2)4/h1-2H3"
AMMONIUM = "InChI=1S/H3N/h1H3/p+1"


def test_a_structure() -> None:
    """Benzoic acid: 7 x 12 + 6 x 1.00782503 + 2 x 15.99491462 = 122.036779 daltons."""
    (answer,) = structures.describe([BENZOIC_ACID])
    assert answer == {
        "InChI": BENZOIC_ACID,
        "InChIKey": "WPYMKLBDIGXBTP-UHFFFAOYSA-N",
        "Formula": "C7H6O2",
        "Monoisotopic mass": "122.036779",
        "Average mass": "122.123",
        "SMILES": "O=C(O)c1ccccc1",
        "Parse warnings": "",
        "Toolkit": structures.version(),
    }
    assert set(answer) == set(structures.HEADERS)


def test_a_charge_is_part_of_formula_and_mass() -> None:
    """Ammonium: 14.00307400 + 4 x 1.00782503 - 0.00054858 = 18.033826 daltons."""
    (answer,) = structures.describe([AMMONIUM])
    assert (answer["Formula"], answer["Monoisotopic mass"]) == ("H4N+", "18.033826")
    assert answer["Parse warnings"] == ""


def test_what_cannot_be_read_is_a_warning() -> None:
    """One hydrogen too many: no masses, and the others are answered all the same."""
    unreadable = "InChI=1S/C3H7O/c1-3(2)4/h1-2H3"
    bad, good = structures.describe([unreadable, BENZOIC_ACID])
    assert bad["InChI"] == unreadable
    assert bad["Parse warnings"]
    assert "Monoisotopic mass" not in bad
    assert good["Formula"] == "C7H6O2"


@pytest.mark.parametrize(
    ("inchi", "said"),
    [
        # two whose carbon has five bonds, three that are no InChI
        (
            "InChI=1S/C5H3N4O3/c10-3-1-2(7-4(11)6-1)8-5(12)9-3/h(H3,6,7,8,9,10,11,12)",
            "RDKit cannot read it. Explicit valence for atom # 3 C, 5, is greater than permitted",
        ),
        ("InChI=1S/C6H12/c1-6(2,3,4)5/h1-5H3", None),
        ("InChI=1S/garbage", "RDKit cannot read it."),
        ("InChI=1S/C2H6O/c1-2-3/h3H,2H2,1H", None),
        ("not an InChI", "RDKit cannot read it."),
        ("", "RDKit cannot read it."),
    ],
)
def test_what_rdkit_does_not_take_costs_nobody_else_his_answer(
    inchi: str, said: str | None
) -> None:
    """It has a warning and nothing else, no key either; its neighbours are answered."""
    first, bad, last = structures.describe([BENZOIC_ACID, inchi, ACETONE])
    warning = bad.pop("Parse warnings")
    assert warning == said or (said is None and warning)
    assert bad == {"InChI": inchi, "Toolkit": structures.version()}
    assert (first["Formula"], last["Formula"]) == ("C7H6O2", "C3H6O")


def test_another_canonical_form_is_a_warning() -> None:
    """Of butan-2-ol an unknown stereo centre is not written; acetone has none."""
    unknown, wrong = structures.describe(
        [
            "InChI=1S/C4H10O/c1-3-4(2)5/h4-5H,3H2,1-2H3/t4?",
            "InChI=1S/C3H6O/c1-3(2)4/h1-2H3/t3-/m0/s1",
        ]
    )
    assert unknown["Formula"] == "C4H10O"
    canonical = "InChI=1S/C4H10O/c1-3-4(2)5/h4-5H,3H2,1-2H3"
    assert unknown["Parse warnings"] == f"RDKit writes it as {canonical}."
    assert "Stereo centers" in wrong["Parse warnings"]
