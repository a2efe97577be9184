"""Whether the client takes what an endpoint answers (RFC 9110, 12.5.1)."""

from fastapi import Request
from fastapi.routing import APIRoute

from api.errors import Problem

_JSON = "application/json"


async def check_accept(request: Request) -> None:
    """Refuse before anything is done what could not be answered; problems are always JSON.

    Raises:
        Problem: 406, where `Accept` admits none of the types that the endpoint documents.
    """
    asked = ",".join(request.headers.getlist("accept"))
    # Who names a format has chosen; the endpoint judges the name.
    if not asked or asked == "*/*" or "format" in request.query_params:
        return
    route = request.scope["route"]
    if isinstance(route, APIRoute) and route.include_in_schema:
        offered = _offered(route)
        if not any(admits(asked, media_type) for media_type in offered):
            raise Problem(406, f"This answers {' or '.join(offered)}.")


def _offered(route: APIRoute) -> list[str]:
    types = {
        media_type
        for status, response in route.responses.items()
        if str(status).startswith("2")
        for media_type in response.get("content", {})
    }
    return [_JSON, *sorted(types - {_JSON})]


def admits(accept: str, media_type: str) -> bool:
    """Whether the header admits a type: the most precise range that holds it decides."""
    kind = media_type.partition("/")[0]
    ranges: dict[str, bool] = {}
    for part in accept.lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        ranges[name] = not any(_is_zero(parameter) for parameter in parameters)
    for name in (media_type, f"{kind}/*", "*/*"):
        if name in ranges:
            return ranges[name]
    return False


def _is_zero(parameter: str) -> bool:
    name, _, value = parameter.partition("=")
    return name.strip() == "q" and value.strip().rstrip("0") in ("", "0.")
