"""Fields that answers of many kinds have, as OpenAPI describes them."""

from typing import Annotated

from pydantic import AwareDatetime, WithJsonSchema

MaybeText = Annotated[str | None, WithJsonSchema({"type": ["string", "null"]})]
MaybeMoment = Annotated[
    AwareDatetime | None, WithJsonSchema({"type": ["string", "null"], "format": "date-time"})
]
MaybeWhole = Annotated[int | None, WithJsonSchema({"type": ["integer", "null"]})]
NextCursor = Annotated[
    str | None,
    WithJsonSchema({"type": ["string", "null"], "description": "Null on the last page."}),
]
