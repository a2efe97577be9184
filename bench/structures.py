"""Writes a metabolites file of acylated dipeptides, whose InChIs RDKit can read.

There are 20 side chains in two places and acyl chains of 1 to 50 carbons: 20,000 in all, of 46
heavy atoms in the mean, and the same each time.
"""

import csv
import sys
from itertools import islice, product
from pathlib import Path

from rdkit.Chem import MolFromSmiles, MolToInchi

from bench.generate import HEADER

ALL = 20_000
_SIDE_CHAINS = (
    *("C", "CC", "CCC", "C(C)C", "CC(C)C", "CO", "CCO", "CS", "CCSC", "C(O)C"),
    *("CC(=O)O", "CCC(=O)O", "CC(N)=O", "CCC(N)=O", "CCCCN", "CCCNC(=N)N"),
    *("Cc1ccccc1", "Cc1ccc(O)cc1", "Cc1c[nH]c2ccccc12", "Cc1c[nH]cn1"),
)


def write(path: Path, rows: int) -> None:
    """Rows of different InChIs, at most `ALL`."""
    found = islice(product(range(1, 51), _SIDE_CHAINS, _SIDE_CHAINS), rows)
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(HEADER)
        writer = csv.writer(file)
        for acyl, first, second in found:
            smiles = f"{'C' * acyl}C(=O)N[C@@H]({first})C(=O)N[C@@H]({second})C(=O)O"
            inchi = MolToInchi(MolFromSmiles(smiles))
            writer.writerow([f"{acyl}-{first}-{second}", "3", inchi, "", "GC", "1"])


if __name__ == "__main__":
    write(Path(sys.argv[2]), int(sys.argv[1]))
