"""What the client takes, and how much it likes it (RFC 9110, 12.5.1)."""

from collections.abc import Iterable

from fastapi import Request
from fastapi.routing import APIRoute

from api.errors import MEDIA_TYPE, Problem

_JSON = "application/json"


async def check_accept(request: Request) -> None:
    """Refuse before anything is done what could not be answered.

    An answer without a body is acceptable to everybody. So is every type that the document names,
    that of problems included: generated clients name it alone where a success has no body.

    Raises:
        Problem: 406, where `Accept` admits none of the types that the endpoint documents.
    """
    asked = ",".join(request.headers.getlist("accept"))
    # Who names a format has chosen; the endpoint judges the name.
    if not asked or asked == "*/*" or "format" in request.query_params:
        return
    route = request.scope["route"]
    if isinstance(route, APIRoute) and route.include_in_schema and has_body(route):
        offered = _offered(route)
        if not admits((*offered, MEDIA_TYPE), ranges_of(asked)):
            raise Problem(406, f"This answers {' or '.join(offered)}.")


def has_body(route: APIRoute) -> bool:
    """Whether its success has one."""
    return route.status_code != 204  # noqa: PLR2004


def _offered(route: APIRoute) -> list[str]:
    types = {
        media_type
        for status, response in route.responses.items()
        if str(status).startswith("2")
        for media_type in response.get("content", {})
    }
    return [_JSON, *sorted(types - {_JSON})]


def admits(media_types: Iterable[str], accepted: dict[str, float]) -> bool:
    """Whether `Accept` takes one of these."""
    return any(weight_of(media_type, accepted) for media_type in media_types)


def ranges_of(accept: str) -> dict[str, float]:
    """Each media range of the header with its weight."""
    ranges: dict[str, float] = {}
    for item in accept.lower().split(","):
        range_, *parameters = (part.strip() for part in item.split(";"))
        if range_:
            weights = [p.removeprefix("q=") for p in parameters if p.startswith("q=")]
            ranges[range_] = _number(weights[0]) if weights else 1
    return ranges


def weight_of(media_type: str, accepted: dict[str, float]) -> float:
    """The weight of the most precise range that holds a type; 0 where it is not admitted."""
    of_its_kind = f"{media_type.partition('/')[0]}/*"
    return next((accepted[r] for r in (media_type, of_its_kind, "*/*") if r in accepted), 0)


def _number(weight: str) -> float:
    # what is no number from 0 to 1 is not there
    digits = weight.replace(".", "", 1)
    return min(float(weight), 1) if digits.isascii() and digits.isdecimal() else 1
