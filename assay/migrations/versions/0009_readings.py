"""How history is read: by which code, under which keys and types."""

from alembic import op

revision = "0009"
down_revision = "0008"

SQL = """
-- The reading of an entity under which its ledger is known to hold.
create table journal.readings (
    entity text primary key,
    -- of the views and functions by which a row of raw becomes one of the entity
    fingerprint text not null,
    -- columns that had another type once, so that the journal may have values that are none of
    -- today's
    retyped text[] not null default '{}'
);

-- Keys under which the journal has edits of rows that have other keys since history was judged
-- again; the last key of each.
create table journal.renamed_keys (
    entity text not null,
    old_key text not null,
    new_key text not null,
    primary key (entity, old_key)
);
"""


def upgrade() -> None:
    op.execute(SQL)
