"""Bodies of the endpoints for people: JSON objects with few members, none of them another's."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

from fastapi import Request
from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, ValidationError
from pydantic_core import ErrorDetails

from api.addresses import site_of
from api.body import parse_object, read_body
from api.cursor import check_parameters
from api.errors import Fault, invalid, pointer_to
from api.limits import take
from api.passwords import MAX_PASSWORD
from api.security import Subject
from api.users import check_username

MAX_USERNAME = 256

_SENTENCES = {
    "extra_forbidden": "There is no such field.",
    "missing": "This field is missing.",
    "string_too_long": "This field is too long.",
    "string_too_short": "This field is empty.",
    "string_type": "This field is a text, in quotes.",
    "bool_type": "This field is true or false, without quotes.",
    "list_type": "This field is a list of texts.",
    "value_error": "This name has white space around it, or characters that nobody sees.",
}


class Body(BaseModel):
    """Unknown members are refused: nobody gives himself a role (OWASP API3)."""

    model_config = ConfigDict(extra="forbid", strict=True)


_Body = TypeVar("_Body", bound=Body)


def _plain_name(name: str) -> str:
    check_username(name)
    return name


Username = Annotated[
    str, StringConstraints(min_length=1, max_length=MAX_USERNAME), AfterValidator(_plain_name)
]
Password = Annotated[str, StringConstraints(min_length=1, max_length=MAX_PASSWORD)]
Code = Annotated[str, StringConstraints(min_length=1, max_length=4096)]


async def read_members(request: Request, model: type[_Body]) -> _Body:
    """The body, which may be left out where no member is needed.

    Raises:
        Problem: 413, 415, 422 with each wrong member.
    """
    check_parameters(request)
    headers = request.headers
    is_empty = headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers
    text = "{}" if is_empty else await read_body(request, "application/json")
    try:
        return model.model_validate(parse_object(text))
    except ValidationError as error:
        found = {str(e["loc"][0]): _sentence(e) for e in error.errors(include_input=False)}
        raise invalid(
            *(Fault(sentence, pointer_to(name)) for name, sentence in found.items())
        ) from None


def _sentence(error: ErrorDetails) -> str:
    if error["type"] == "literal_error":
        return f"This field is {error['ctx']['expected']}."
    other = "The API's description gives another form of this field."
    return _SENTENCES.get(error["type"], other)


def members_of(model: type[_Body]) -> Callable[[Request], Awaitable[_Body]]:
    """For signatures of endpoints that anybody may call."""

    async def read(request: Request) -> _Body:
        take(request, "logins", site_of(request))
        return await read_members(request, model)

    return read


def own_members_of(model: type[_Body]) -> Callable[[Request, Subject], Awaitable[_Body]]:
    """For signatures of endpoints that take a token: strangers learn nothing."""

    async def read(request: Request, _subject: Subject) -> _Body:
        return await read_members(request, model)

    return read


def documented_members(model: type[Body]) -> dict[str, Any]:
    """OpenAPI's `requestBody`."""
    is_required = any(field.is_required() for field in model.model_fields.values())
    content = {"application/json": {"schema": model.model_json_schema()}}
    return {"requestBody": {"required": is_required, "content": content}}
