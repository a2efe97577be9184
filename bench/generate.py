"""Writes metabolites files of any number of rows, the same bytes each time.

One row in ten has a trouble that staging repairs (a blank level, a zero before the check
digit, a line break in the InChI); none is rejected, so that the hand-written floor, which
judges nothing, does the same work. In a file of bad rows each one is rejected.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

HEADER = "Features,Identification_level,ID_InChI,CAS_number,Method,Sample Data\n"
BLOCK = 10_000


def cas_number(serial: int) -> str:
    """The CAS number, check digit included, whose other digits are those of `serial`."""
    check = sum(place * int(digit) for place, digit in enumerate(reversed(str(serial)), 1)) % 10
    return f"{serial // 100}-{serial % 100:02d}-{check}"


def row(number: int) -> str:
    carbons, hydrogens = number // 1000 + 1, number % 1000 + 1
    break_ = "\n" if number % 30 == 0 else ""
    inchi = (
        f"InChI=1S/C{carbons}H{hydrogens}O2/c1-2-3-4-5-6-7-8-9(10)11{break_}/h2-9H,1H3,(H,10,11)"
    )
    # of five digits at first: with four, and a zero before the check digit, it may be a date
    cas = cas_number(1_000_000 + number) if number % 2 else ""
    if number % 31 == 1 and cas:
        cas = f"{cas[:-1]}0{cas[-1]}"
    level = "" if number % 29 == 0 else str(number % 5 + 1)
    value = ("ND", "NA")[number % 2] if number % 7 == 0 else f"{number * 0.000137:.9f}"
    return f'feature-{number:07d},{level},"{inchi}",{cas},METHOD_{number % 20:02d},{value}\n'


def bad_row(number: int) -> str:
    """A row that breaks one of the rules, each in turn."""
    name, cas = f"bad-{number:07d}", cas_number(100_000 + number)
    return (
        f"{name},1,,,GC,1\n",
        f"{name},1,,{cas[:-1]}{(int(cas[-1]) + 1) % 10},GC,1\n",
        f"{name},9,,{cas},GC,1\n",
        f"{name},1,InChI=1S/banana,,GC,1\n",
        f'{name},1,,{cas},GC,"1,5"\n',
        f"{name},1,,{cas},,1\n",
        f"{name},1\n",
    )[number % 7]


def blocks(rows: int, first: int = 0, make_row: Callable[[int], str] = row) -> Iterator[str]:
    yield HEADER
    for start in range(first, first + rows, BLOCK):
        yield "".join(map(make_row, range(start, min(start + BLOCK, first + rows))))


def write(path: Path, rows: int, first: int = 0, make_row: Callable[[int], str] = row) -> None:
    """Rows of numbers from `first` on: other numbers, other keys and identifiers."""
    with path.open("w", encoding="utf-8", newline="") as file:
        file.writelines(blocks(rows, first, make_row))


if __name__ == "__main__":
    write(Path(sys.argv[2]), int(sys.argv[1]))
