"""The admin that the settings name, made by the API where there is no user yet."""

import asyncio
import logging

import asyncpg

from api.database import Database
from api.errors import Problem
from api.passwords import hash_in_thread
from api.users import ADD_FIRST_ADMIN, ARE_THERE_USERS, TABLE, normal_username
from assay.settings import Settings

_ASK_AGAIN = 5.0
"""Seconds until the database is asked again, which need not be there when the API starts."""
_log = logging.getLogger(__name__)


async def make_first_admin(database: Database, settings: Settings) -> None:
    """Ask until the database answers; then there is a user, or ADMIN_PASSWORD does not do."""
    if settings.admin_password is None:
        return
    password = settings.admin_password.get_secret_value()
    name = normal_username(settings.admin_username)
    while True:
        try:
            row = await database.fetch_row(ARE_THERE_USERS)
            if row and not row["are_there"]:
                await _add(database, name, password)
        except (Problem, asyncpg.PostgresError):
            await asyncio.sleep(_ASK_AGAIN)
        except ValueError as error:
            _log.error("no admin was made, ADMIN_USERNAME or ADMIN_PASSWORD: %s", error)
            return
        else:
            return


async def _add(database: Database, name: str, password: str) -> None:
    if not name.strip():
        raise ValueError("A user has a name.")
    hashed = await hash_in_thread(password, name)
    if await database.write_row(TABLE, ADD_FIRST_ADMIN, name, hashed):
        _log.warning("made the admin %s, since there was no user", name)
