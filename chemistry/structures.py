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
_UNREADABLE = "RDKit cannot read it."
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
    """RDKit raises, too, where a valence is not one that it knows: of this InChI nothing is said.

    A key would look as if it were of a structure, so it is only given with one.
    """
    from rdkit.Chem import rdinchi  # noqa: PLC0415 - an optional extra

    answer = {"InChI": inchi}
    try:
        molecule, code, message, _ = rdinchi.InchiToMol(inchi, True, True)
        if molecule is None:
            return answer | {"Parse warnings": message.strip() or _UNREADABLE}
        warnings = [message.strip()] if code == _WARNED and message else []
        again = rdinchi.MolToInchi(molecule)[0]
        if again != inchi:
            warnings.append(f"RDKit writes it as {again or 'nothing'}.")
        answer["InChIKey"] = rdinchi.InchiToInchiKey(inchi)
        return answer | _properties(molecule) | {"Parse warnings": " ".join(warnings)}
    except (ValueError, RuntimeError) as error:  # what Boost makes of C++'s exceptions
        said = str(error).strip().partition("\n")[0]
        return {"InChI": inchi, "Parse warnings": f"{_UNREADABLE} {said}".strip()}


def _properties(molecule: "Mol") -> dict[str, str]:
    from rdkit.Chem import Descriptors, MolToSmiles, rdMolDescriptors  # noqa: PLC0415

    return {
        "Formula": rdMolDescriptors.CalcMolFormula(molecule),
        "Monoisotopic mass": f"{rdMolDescriptors.CalcExactMolWt(molecule):.6f}",
        "Average mass": f"{Descriptors.MolWt(molecule):.3f}",  # type: ignore[attr-defined]
        "SMILES": MolToSmiles(molecule),
    }
