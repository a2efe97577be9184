"""A peer: a pydantic model for each row, and the unit of work of the SQLAlchemy ORM.

The same cleaning and the same rules of one row as in the project's contract; uniqueness by
constraints. No repair is noted, and a row that contradicts another would end the run.
"""

import csv
import hashlib
import re
import sys
import time
import uuid
from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Self

import psycopg
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)
from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

BATCH = 1_000

_INCHI = (
    r"^InChI=1S/[0-9]*([A-Z][a-z]?[0-9]*)+(\.[0-9]*([A-Z][a-z]?[0-9]*)+)*"
    r"(/c[0-9,;()*-]*)?(/h[0-9H,;()*DT-]*)?(/q[0-9+;*-]*)?(/p[+-][0-9]+)?"
    r"(/b[0-9,;+?*u-]*)?(/t[0-9,;+?*umM-]*)?(/m[01.]+)?(/s[123])?"
    r"(/i[0-9A-Z,;+*/hbtms.?()-]*)?$"
)
_BLANK = " \t\r\n\u00a0\u200b\ufeff"
_BLANKS = re.compile(f"[{_BLANK}]+")
_ZERO_BEFORE_CHECK_DIGIT = re.compile(r"^([0-9]+-[0-9]{2}-)0([0-9])$")


def clean(text: str | None) -> str | None:
    return (text or "").strip(_BLANK) or None


def fits(cas_number: str) -> bool:
    """Whether the check digit does."""
    *digits, check = map(int, cas_number.replace("-", ""))
    return sum(place * digit for place, digit in enumerate(reversed(digits), 1)) % 10 == check


def repair_cas(text: str | None) -> str | None:
    cleaned = clean(text)
    if cleaned and (match := _ZERO_BEFORE_CHECK_DIGIT.match(cleaned)):
        repaired = match[1] + match[2]
        return repaired if fits(repaired) else cleaned
    return cleaned


def check_cas(cas_number: str) -> str:
    if not fits(cas_number):
        raise ValueError("the check digit does not fit")
    return cas_number


def remove_blanks(text: str | None) -> str | None:
    return _BLANKS.sub("", text or "") or None


Text = Annotated[str, BeforeValidator(clean)]
Inchi = Annotated[str, StringConstraints(pattern=_INCHI, max_length=2000)]
CasNumber = Annotated[
    str,
    StringConstraints(pattern=r"^[1-9][0-9]{1,6}-[0-9]{2}-[0-9]$"),
    AfterValidator(check_cas),
]


class MetaboliteRow(BaseModel):
    """One row of the file, by its headers."""

    feature: Annotated[Text, Field(alias="Features", max_length=2000)]
    identification_level: Annotated[
        int,
        BeforeValidator(lambda text: clean(text) or 3),
        Field(alias="Identification_level", ge=1, le=5),
    ]
    id_inchi: Annotated[Inchi | None, BeforeValidator(remove_blanks), Field(alias="ID_InChI")]
    cas_number: Annotated[CasNumber | None, BeforeValidator(repair_cas), Field(alias="CAS_number")]
    method: Annotated[Text, Field(alias="Method")]
    sample_value: Annotated[Decimal | None, Field(alias="Sample Data", allow_inf_nan=False)]
    sample_status: str = "measured"

    @model_validator(mode="before")
    @classmethod
    def derive_status(cls, row: dict[str, Any]) -> dict[str, Any]:
        value = clean(row["Sample Data"])
        match (value or "").upper().replace(".", ""):
            case "" | "NA" | "N/A" | "#N/A":
                return row | {"Sample Data": None, "sample_status": "not_available"}
            case "ND":
                return row | {"Sample Data": None, "sample_status": "not_detected"}
        return row | {"Sample Data": value}

    @model_validator(mode="after")
    def require_identifier(self) -> Self:
        if self.id_inchi is None and self.cas_number is None:
            raise ValueError("Give an InChI or a CAS number")
        return self


class Base(DeclarativeBase):
    """Of the one table."""


class Metabolite(Base):
    """The curated table, as an ORM user would declare it."""

    __tablename__ = "metabolites"

    metabolite_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    feature: Mapped[str] = mapped_column(unique=True)
    identification_level: Mapped[int]
    id_inchi: Mapped[str | None] = mapped_column(unique=True)
    cas_number: Mapped[str | None] = mapped_column(unique=True)
    method: Mapped[str]
    sample_value: Mapped[Decimal | None]
    sample_status: Mapped[str]


def metabolites(file: Path) -> Iterator[Metabolite]:
    """The rows that hold the rules; the others are told on standard error."""
    with file.open(encoding="utf-8", newline="") as source:
        for number, record in enumerate(csv.DictReader(source), 2):
            try:
                row = MetaboliteRow.model_validate(record)
            except ValidationError as error:
                print(number, error, file=sys.stderr)
                continue
            key = hashlib.md5(row.feature.encode(), usedforsecurity=False).digest()
            yield Metabolite(metabolite_id=uuid.UUID(bytes=key), **row.model_dump())


def main(file: Path, url: str) -> None:
    begun = time.perf_counter()
    engine = create_engine("postgresql+psycopg://", creator=partial(psycopg.connect, url))
    Base.metadata.create_all(engine)
    rows = metabolites(file)
    with Session(engine) as session:
        while batch := list(islice(rows, BATCH)):
            session.add_all(batch)
            session.commit()
    print(time.perf_counter() - begun)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
