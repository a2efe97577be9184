"""What is on its way to other systems."""

from alembic import op

revision = "0006"
down_revision = "0005"

SQL = """
-- How far each entity's feed of changes was followed, and how its deliveries went.
create table journal.deliveries (
    entity text primary key,
    position jsonb not null,
    delivered_at timestamptz,
    failed_at timestamptz,
    error text
);

-- Changes that were taken from the feed and not delivered yet, the last one of each row; some are
-- claimed by a worker that is sending them, or died while it was.
create table journal.outbox (
    entity text not null,
    key text not null,
    number bigint not null generated always as identity,
    idempotency_key uuid not null default gen_random_uuid(),
    operation text not null,
    body jsonb,
    attempts integer not null default 0,
    due_at timestamptz not null default clock_timestamp(),
    claimed_by uuid,
    claimed_until timestamptz,
    is_dead boolean not null default false,
    error text,
    primary key (entity, key)
);

create index on journal.outbox (entity, number) where not is_dead;
"""


def upgrade() -> None:
    op.execute(SQL)
