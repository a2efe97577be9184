"""Fields that answers of many kinds have, as OpenAPI 3.0 describes them."""

from typing import Annotated

from pydantic import AwareDatetime, WithJsonSchema

MaybeText = Annotated[str | None, WithJsonSchema({"type": "string", "nullable": True})]
MaybeMoment = Annotated[
    AwareDatetime | None,
    WithJsonSchema({"type": "string", "format": "date-time", "nullable": True}),
]
MaybeWhole = Annotated[int | None, WithJsonSchema({"type": "integer", "nullable": True})]
NextCursor = Annotated[
    str | None,
    WithJsonSchema({"type": "string", "nullable": True, "description": "Null on the last page."}),
]
