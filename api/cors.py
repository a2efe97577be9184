"""Pages of other origins, where the settings name some (Fetch standard, CORS protocol)."""

from collections.abc import Mapping

_METHODS = "DELETE, GET, HEAD, PATCH, POST, PUT"
_ASKABLE = "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Prefer"
_READABLE = (
    "Content-Disposition, ETag, Link, Location, Preference-Applied, RateLimit, RateLimit-Policy, "
    "Retry-After, X-Request-ID"
)
_SECONDS = "600"


class Cors:
    """Access tokens are headers that a page sends itself: no cookies, hence no credentials."""

    def __init__(self, origins: tuple[str, ...]) -> None:
        self._origins = origins

    def headers(self, asked: Mapping[bytes, bytes]) -> dict[str, str]:
        """Of each answer."""
        if not self._origins:
            return {}
        origin = asked.get(b"origin", b"").decode("latin-1")
        if origin not in self._origins:
            return {"Vary": "Origin"}
        return {
            "Vary": "Origin",
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Expose-Headers": _READABLE,
        }

    def preflight(self, method: str, asked: Mapping[bytes, bytes]) -> dict[str, str] | None:
        """What a page is told that asks beforehand what it may send; None for other requests."""
        is_asked = method == "OPTIONS" and b"access-control-request-method" in asked
        if not is_asked or "Access-Control-Allow-Origin" not in self.headers(asked):
            return None
        return {
            "Access-Control-Allow-Methods": _METHODS,
            "Access-Control-Allow-Headers": _ASKABLE,
            "Access-Control-Max-Age": _SECONDS,
        }
