"""Audit events, in the words of OWASP's Logging Vocabulary: who did what, when, from where.

Each is a row of `auth.audit_events`, which is append-only, and a line of the log. Neither has a
password, a token or a body.
"""

import json
import logging
from typing import Literal

from fastapi import Request

from api.addresses import address_of
from api.database import Database

Event = Literal[
    "authn_login_success",
    "authn_login_fail",
    "authn_login_lock",
    "authn_password_change",
    "authn_token_created",
    "authn_token_revoked",
    "authn_token_reuse",
    "authz_fail",
    "authz_admin",
    "user_created",
    "user_updated",
    "user_deleted",
    "sensitive_read",
    "excess_rate_limit_exceeded",
    "upload_complete",
]
ADD_EVENT = """
insert into auth.audit_events (event, outcome, username, address, target, request_id)
values ($1, $2, $3, $4, $5, $6)
"""
_log = logging.getLogger("assay.audit")


async def audit(  # noqa: PLR0913 - an event has these parts
    database: Database,
    request: Request,
    event: Event,
    username: str | None,
    *,
    target: str | None = None,
    is_success: bool = True,
) -> None:
    """Keep an event; what it is about is not done where this raises, as `write_row` does.

    Args:
        database: Of the API.
        request: Which made it happen; its method and path are the target if none is given.
        event: Its name.
        username: Whose doing it is, as far as known; of a login, whose name was given.
        target: What it was done to.
        is_success: Its outcome.
    """
    outcome = "success" if is_success else "failure"
    target = target or f"{request.method} {request.url.path}"
    address = str(address_of(request) or "unknown")
    values = (event, outcome, username, address, target, request.state.request_id)
    await database.write_row("auth.audit_events", ADD_EVENT, *values)
    # JSON: it escapes what would end a line.
    names = ("event", "outcome", "username", "address", "target", "request_id")
    _log.info("%s", json.dumps(dict(zip(names, values, strict=True))))
