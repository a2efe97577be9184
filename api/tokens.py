"""Access tokens (JWT, RFC 9068) and the keys that sign them."""

import json
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import jwt
from jwt.utils import base64url_decode

from api.errors import Problem

LIFETIME = timedelta(minutes=15)
LEEWAY = timedelta(seconds=30)
MIN_SECRET = 32
"""Bytes (RFC 7518, 3.2: a key for HS256 is at least as long as its hash)."""

_ALGORITHM = "HS256"
_MAX_VERIFIED = 10_000
_ISSUER = "assay"
_AUDIENCE = "assay api"
_TYPE = "at+jwt"
_HEADER = {"alg", "typ", "kid"}
_CLAIMS = ("exp", "nbf", "iat", "iss", "aud", "sub", "jti", "sid", "ver")


@dataclass(frozen=True)
class Claims:
    """What a token says; what its user may do is the database's to say."""

    user_id: UUID
    session_id: UUID
    version: int
    """`auth.users.token_version` when it was issued."""


class KeyRing:
    """The secret of the settings, then the keys of a file, which is read again when it changes.

    The last signs. Each other is taken until all that it signed has expired.
    """

    def __init__(self, secret: str, file: Path | None = None) -> None:
        """Raises `ValueError` for a key of less than 32 bytes, or a file that has no keys."""
        self._secret = secret
        self._file = file
        self._seen: tuple[int, int] | None = None
        self._keys = _ring(secret, [])

    def newest(self) -> tuple[str, str]:
        """Its id, and the key."""
        keys = self._current()
        kid = next(reversed(keys))
        return kid, keys[kid][0]

    def key(self, kid: str) -> str | None:
        """The key of this id, if what it signed may still be valid."""
        key, replaced_at = self._current().get(kid, (None, None))
        if replaced_at and datetime.now(UTC) > replaced_at + LIFETIME + LEEWAY:
            return None
        return key

    def _current(self) -> dict[str, tuple[str, datetime | None]]:
        seen = _stamp(self._file) if self._file else None
        if seen != self._seen:
            made = read_keys(self._file) if self._file and seen else []
            self._keys, self._seen = _ring(self._secret, made), seen
        return self._keys


def rotate_keys(file: Path) -> str:
    """Add a new key, which signs from now on; keys that nothing needs any longer go.

    Returns:
        Its id.
    """
    now = datetime.now(UTC)
    key = secrets.token_urlsafe(MIN_SECRET)
    pairs = [*(read_keys(file) if file.exists() else []), (key, now)]
    pairs = [
        *(one for one, after in pairwise(pairs) if now <= after[1] + LIFETIME + LEEWAY),
        pairs[-1],
    ]
    file.parent.mkdir(exist_ok=True)
    whole = file.with_suffix(".new")
    whole.touch(0o600)
    whole.write_text(json.dumps([{"key": k, "made_at": at.isoformat()} for k, at in pairs]))
    whole.replace(file)
    return id_of(key)


def read_keys(file: Path) -> list[tuple[str, datetime]]:
    """Keys and when each was made, in that order.

    Raises:
        ValueError: The file has something else; the message does not repeat it.
    """
    try:
        pairs = json.loads(file.read_text())
        return [(str(pair["key"]), datetime.fromisoformat(pair["made_at"])) for pair in pairs]
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"{file} has no keys: remove it, or `assay keys rotate`.") from None


def id_of(key: str) -> str:
    """Names a key without telling it."""
    return sha256(b"assay kid " + key.encode()).hexdigest()[:16]


class Tokens:
    """Issues and reads access tokens."""

    def __init__(self, secret: str, file: Path | None = None) -> None:
        """Raises `ValueError` as `KeyRing` does."""
        self._keys = KeyRing(secret, file)

    def issue(self, user_id: UUID, version: int = 0, session_id: UUID | None = None) -> str:
        """A token for a version of a user, and for a session that can be ended by itself."""
        now = datetime.now(UTC)
        claims = {
            "exp": now + LIFETIME,
            "nbf": now,
            "iat": now,
            "iss": _ISSUER,
            "aud": _AUDIENCE,
            "sub": str(user_id),
            "jti": uuid4().hex,
            "sid": str(session_id or uuid4()),
            "ver": version,
        }
        kid, key = self._keys.newest()
        return jwt.encode(claims, key, algorithm=_ALGORITHM, headers={"typ": _TYPE, "kid": kid})

    def read(self, token: str) -> Claims:
        """What a token says.

        Raises:
            Problem: 401, for whatever is wrong with it; it does not say what.
        """
        try:
            header = json.loads(base64url_decode(token.partition(".")[0]))
            # PyJWT looks neither at the type, so that a token made for another use would do, nor
            # at members that name other keys; and it takes what is padded, so that one token
            # has many texts.
            key = self._keys.key(str(header.get("kid")))
            if key and set(header) == _HEADER and header["typ"] == _TYPE and "=" not in token:
                expires_at, claims = _verified(token, key)
                if time.time() < expires_at + LEEWAY.total_seconds():
                    return claims
        except (
            *(jwt.InvalidTokenError, jwt.InvalidKeyError),
            *(AttributeError, RecursionError, ValueError),
        ):
            pass
        raise unauthenticated(
            "The access token is not valid, or no longer.", 'error="invalid_token"'
        )


@lru_cache(maxsize=_MAX_VERIFIED)
def _verified(token: str, key: str) -> tuple[int, Claims]:
    """When it expires, and what it says.

    Whether a key signed a text never changes, and a token is sent for minutes; what may end
    meanwhile is asked each time: the key, the time, the user, the session. A refusal is not kept.
    """
    payload: dict[str, Any] = jwt.decode(
        token,
        key,
        algorithms=[_ALGORITHM],
        issuer=_ISSUER,
        audience=_AUDIENCE,
        leeway=LEEWAY,
        options={
            "require": list(_CLAIMS),
            "strict_aud": True,
            "enforce_minimum_key_length": True,
        },
    )
    if type(payload["ver"]) is not int:
        raise ValueError("The version is no whole number.")
    claims = Claims(UUID(payload["sub"]), UUID(payload["sid"]), payload["ver"])
    return int(payload["exp"]), claims


def unauthenticated(detail: str, challenge: str = "") -> Problem:
    """401 as RFC 6750 wants it: `error` is for a token that was given."""
    return Problem(401, detail, headers={"WWW-Authenticate": f"Bearer {challenge}".strip()})


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        status = file.stat()
    except FileNotFoundError:
        return None
    return status.st_mtime_ns, status.st_ino


def _ring(secret: str, made: list[tuple[str, datetime]]) -> dict[str, tuple[str, datetime | None]]:
    """By id: each key, and when the next one took its place."""
    keys = [secret, *(key for key, _ in made)]
    replaced_at: list[datetime | None] = [*(at for _, at in made), None]
    if any(len(key.encode()) < MIN_SECRET for key in keys):
        raise ValueError(f"ASSAY_SECRET has less than {MIN_SECRET} bytes: set a longer one.")
    return {id_of(key): (key, at) for key, at in zip(keys, replaced_at, strict=True)}
