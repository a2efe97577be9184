"""Where an API is, and as whom it is asked: from the environment, or recorded answers."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from dotenv import dotenv_values

from assay.listings import Api
from assay.settings import Settings, secret_of


@dataclass(frozen=True)
class Access:
    """How to reach an API."""

    name: str
    url: str
    login: str | None
    username: str = ""
    password: str = field(default="", repr=False)
    transport: httpx.AsyncBaseTransport | None = None
    is_sample: bool = False
    """Nobody answers there: the records are to begin with."""


def access_to(api: Api, settings: Settings) -> Access | None:
    """What `<NAME>_URL`, `<NAME>_USERNAME` and `<NAME>_PASSWORD` say; None without a URL.

    The password may stand in a file that `<NAME>_PASSWORD_FILE` names.

    Raises:
        ValueError: Two of them contradict, a file cannot be read, or in production a password
            would travel without https.
    """
    prefix = api.name.upper()
    said = {**dotenv_values(settings.project / ".env"), **os.environ}
    url = said.get(f"{prefix}_URL")
    if not url:
        return None
    if settings.env == "production" and not url.startswith("https://"):
        raise ValueError(f"{prefix}_URL is not https: its password could be read on the way.")
    password = secret_of(said, f"{prefix}_PASSWORD")
    return Access(api.name, url, api.login, said.get(f"{prefix}_USERNAME") or "", password or "")


def recorded(api: Api, project: Path) -> Access | None:
    """The API's recorded answers, `{path: answer}` in a JSON file; None without one."""
    if api.answers is None:
        return None
    answers = json.loads((project / api.answers).read_bytes())

    def answer(request: httpx.Request) -> httpx.Response:
        found = answers.get(request.url.path)
        return httpx.Response(404) if found is None else httpx.Response(200, json=found)

    return Access(
        api.name, "http://recorded", None, transport=httpx.MockTransport(answer), is_sample=True
    )
