"""Which database a project uses, and its platform tables."""

from pathlib import Path

import psycopg
from psycopg.pq import Conninfo
from sqlalchemy import create_engine

from assay import postgres
from assay.catalog import Catalog
from assay.settings import Settings
from loader.tables import create_raw_tables


def database_url(settings: Settings) -> str:
    """Where the database is; the embedded one need not be running.

    Raises:
        ValueError: DATABASE_URL is no URL of a PostgreSQL; the message does not repeat it.
    """
    if settings.database_url:
        url = settings.database_url.get_secret_value()
        try:
            Conninfo.parse(url.encode())
        except psycopg.OperationalError:
            raise ValueError(
                "DATABASE_URL is not one of PostgreSQL: postgresql://user:password@host:5432/name"
            ) from None
        return url
    return postgres.Address(str(postgres.socket_directory(settings.project))).url


def start_database(settings: Settings) -> str:
    """The database's URL, after the embedded server was started where it is used."""
    if settings.database_url:
        return database_url(settings)
    return postgres.start(settings.project).url


def libpq_environment(url: str) -> dict[str, str]:
    """The PG* variables that say the same as a database URL, for dbt and its profile.

    Raises:
        psycopg.OperationalError: Nobody answers there, or not us.
    """
    given = {
        option.envvar.decode(): option.val.decode()
        for option in Conninfo.parse(url.encode())
        if option.envvar and option.val
    }
    # dbt wants also what the URL leaves to libpq's defaults
    with psycopg.connect(url) as connection:
        info = connection.info
        return {
            "PGHOST": info.host,
            "PGPORT": str(info.port),
            "PGUSER": info.user,
            "PGDATABASE": info.dbname,
        } | given


def upgrade(url: str, catalog: Catalog) -> None:
    """Bring the platform tables up to date and make each declared raw table; harmless to repeat."""
    # 10 MB of memory, of which the API, which also imports this module, has no use
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    # A connection of our own making: SQLAlchemy would take the URL of a unix socket apart.
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(url))
    with engine.begin() as connection:
        # two processes that prepare one database wait for each other
        connection.exec_driver_sql("select pg_advisory_xact_lock(hashtextextended('upgrade', 0))")
        connection.exec_driver_sql("create schema if not exists raw")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    engine.dispose()
    with psycopg.connect(url) as raw_connection:
        create_raw_tables(raw_connection, catalog)
