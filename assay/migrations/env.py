"""Alembic's entry point: runs the SQL of `versions/` on the connection that `assay` hands over."""

from alembic import context

connection = context.config.attributes["connection"]
context.configure(
    connection=connection, version_table="platform_version", version_table_schema="raw"
)
with context.begin_transaction():
    context.run_migrations()
