"""Passwords: which are taken, their hashes, and whether one is right. All of it takes time."""

import asyncio
import logging
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from ctypes import CDLL
from functools import cache
from importlib.resources import files
from typing import cast

from passlib.context import CryptContext  # type: ignore[import-untyped]

MIN_PASSWORD = 15
"""Where there is no second factor (NIST SP 800-63B-4, 3.1.1.2)."""
MAX_PASSWORD = 128
"""In code points: hashing costs time that grows with the length."""
NO_PASSWORD = ""
"""Instead of a hash: of somebody who has a code and no password yet. Nothing matches it."""

_SHORT_UNIT = 4
_PRODUCT_WORDS = frozenset({"assay", "postgres", "postgresql", "dbt", "admin", "administrator"})
# OWASP's parameters (Password Storage Cheat Sheet); `dummy_verify` takes the same time with them.
_CONTEXT = CryptContext(
    schemes=["argon2"],
    argon2__type="ID",
    argon2__memory_cost=19456,
    argon2__time_cost=2,
    argon2__parallelism=1,
)
# Each hash takes 19 MiB: the number of threads bounds what many logins at once cost.
THREADS = 4
_HASHING = ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="password")
_M_MMAP_THRESHOLD = -3
"""Of glibc's malloc.h: what is as large is given back when it is freed."""
_LARGE = 1 << 20
_log = logging.getLogger(__name__)


def fault_of_password(password: str, username: str) -> str | None:
    """Why it is not taken as the password of this user, as a sentence.

    Length and a list of known ones, no rule of composition (OWASP ASVS 6.2).
    """
    password = normal_password(password)
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        return f"A password has {MIN_PASSWORD} to {MAX_PASSWORD} characters."
    if _is_common(password.casefold(), username.casefold()):
        return "This password is among the first that are guessed: take another."
    return None


def hash_password(password: str, username: str = "") -> str:
    """Argon2id hash for `auth.users.password_hash`.

    Raises:
        ValueError: It is refused by `fault_of_password`; the message is a sentence.
    """
    fault = fault_of_password(password, username)
    if fault:
        raise ValueError(fault)
    return cast("str", _CONTEXT.hash(normal_password(password)))


async def hash_in_thread(password: str, username: str) -> str:
    """As `hash_password`."""
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_HASHING, hash_password, password, username)


async def verify_in_thread(password: str, stored: str | None) -> tuple[bool, str | None]:
    """Whether it is right, and the hash to store instead if the stored one is out of date.

    It takes as long where nothing is stored.
    """
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_HASHING, _verify, password, stored)


def normal_password(password: str) -> str:
    return unicodedata.normalize("NFKC", password)


def warm_up() -> None:
    """Make the hash that `dummy_verify` uses: else the first unknown user takes twice the time."""
    _keep_no_freed_memory()
    _CONTEXT.dummy_verify()
    _common()


def _keep_no_freed_memory() -> None:
    """Where the C library is glibc: it would keep the 19 MiB of a hash, for each thread anew."""
    with suppress(AttributeError):
        CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE)


def _verify(password: str, stored: str | None) -> tuple[bool, str | None]:
    if stored:
        try:
            matches, updated = _CONTEXT.verify_and_update(normal_password(password), stored)
        except ValueError:
            _log.exception("a stored password hash cannot be read")
        else:
            return bool(matches), updated
    _CONTEXT.dummy_verify()
    return False, None


@cache
def _common() -> frozenset[str]:
    text = (files("api") / "common_passwords.txt").read_text(encoding="utf-8")
    return frozenset(line for line in text.splitlines() if not line.startswith("#"))


def _is_common(password: str, username: str) -> bool:
    """Whether it is one of the list, a word of the product, the username or a few characters.

    Again and again too, and with digits and signs around it.
    """
    bare = password.strip("0123456789 !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
    units = [_unit(text) for text in (password, bare) if text]
    return any(
        len(unit) < _SHORT_UNIT or unit == username or unit in _PRODUCT_WORDS or unit in _common()
        for unit in units
    )


def _unit(text: str) -> str:
    """The shortest text that gives this one when it is repeated; a part of it may end it."""
    sizes = range(1, len(text))
    return next((text[:n] for n in sizes if text.startswith(text[n:])), text)
