"""Parameters that are `true` or `false`."""

from typing import Any

from fastapi import Query

from api.errors import Fault, invalid


def flag(description: str) -> Any:  # noqa: ANN401 - FastAPI's
    """False where it is not said."""
    # Text, and judged by `read_flag`: FastAPI would also take `yes` and `1`.
    schema = {"type": "boolean"}
    return Query(default_factory=lambda: "false", description=description, json_schema_extra=schema)


def read_flag(name: str, text: str) -> bool:
    """Raises `Problem` 422 for any other text."""
    if text not in ("true", "false"):
        raise invalid(Fault("This is `true` or `false`.", parameter=name))
    return text == "true"
