"""What RDKit says of a structure that an InChI describes: key, formula, masses, SMILES.

An InChI that RDKit cannot read, or writes otherwise, need not be wrong: of the 19,471 in 68 files
of MetaboLights two cannot be read, and 14 are written otherwise. `Parse warnings` says so.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rdkit.Chem import Mol

HEADERS = (
    "InChI",
    "InChIKey",
    "Formula",
    "Monoisotopic mass",
    "Average mass",
    "SMILES",
    "Parse warnings",
    "Toolkit",
)
_INSTALL = "RDKit is not installed: `pip install 'assay[chem]'`"
_WARNED = 1
"""InChI's return codes: 0 is fine, 1 a warning, more an error (inchi_api.h)."""


def version() -> str:
    """Of the program that answers: another one may answer otherwise.

    Raises:
        ValueError: RDKit is not installed.
    """
    try:
        import rdkit  # noqa: PLC0415 - an optional extra
    except ImportError:
        raise ValueError(_INSTALL) from None
    return f"RDKit {rdkit.__version__}"


def describe(inchis: Sequence[str]) -> list[dict[str, str]]:
    """One answer for each InChI, by `HEADERS`; masses in daltons, blank where there is nothing.

    Raises:
        ValueError: RDKit is not installed.
    """
    toolkit = version()
    from rdkit import RDLogger  # noqa: PLC0415 - an optional extra

    RDLogger.DisableLog("rdApp.*")  # type: ignore[attr-defined]  # what it says is in the answers
    try:
        return [_describe(inchi) | {"Toolkit": toolkit} for inchi in inchis]
    finally:
        RDLogger.EnableLog("rdApp.*")  # type: ignore[attr-defined]


def _describe(inchi: str) -> dict[str, str]:
    from rdkit.Chem import rdinchi  # noqa: PLC0415 - an optional extra

    molecule, code, message, _ = rdinchi.InchiToMol(inchi, True, True)
    answer = {"InChI": inchi, "InChIKey": rdinchi.InchiToInchiKey(inchi)}
    if molecule is None:
        return answer | {"Parse warnings": message or "RDKit cannot read it."}
    warnings = [message.strip()] if code == _WARNED and message else []
    again = rdinchi.MolToInchi(molecule)[0]
    if again != inchi:
        warnings.append(f"RDKit writes it as {again or 'nothing'}.")
    return answer | _properties(molecule) | {"Parse warnings": " ".join(warnings)}


def _properties(molecule: "Mol") -> dict[str, str]:
    from rdkit.Chem import Descriptors, MolToSmiles, rdMolDescriptors  # noqa: PLC0415

    return {
        "Formula": rdMolDescriptors.CalcMolFormula(molecule),
        "Monoisotopic mass": f"{rdMolDescriptors.CalcExactMolWt(molecule):.6f}",
        "Average mass": f"{Descriptors.MolWt(molecule):.3f}",  # type: ignore[attr-defined]
        "SMILES": MolToSmiles(molecule),
    }
