"""Secrets that Assay makes for itself on its first start, kept in the project's `.env`."""

import os
import secrets

from pydantic import SecretStr

from assay.settings import Settings

SECRET_BYTES = 32


def secret(settings: Settings, name: str, given: SecretStr | None) -> tuple[str, bool]:
    """The secret that was given, or a random one that is written to `.env`; and whether it is new.

    A secret made once is the same for every worker and after every restart.
    """
    if given and given.get_secret_value():
        return given.get_secret_value(), False
    value = secrets.token_urlsafe(SECRET_BYTES)
    file = os.open(settings.project / ".env", os.O_CREAT | os.O_APPEND | os.O_RDWR, 0o600)
    os.fchmod(file, 0o600)  # it may have been there, copied from an example
    with os.fdopen(file, "a+", encoding="utf-8") as env:
        env.seek(0)
        content = env.read()
        separator = "" if not content or content.endswith("\n") else "\n"
        env.write(f"{separator}{name}={value}\n")
    return value, True
