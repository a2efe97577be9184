"""History: what an edit was for, when a load was taken, loads that were taken back, the feed."""

from alembic import op

revision = "0002"
down_revision = "0001"

SQL = """
---------- edits that are not a person's own words

alter table journal.edits
-- 'revert to 12', 'unload 3', 'rejudge'; nothing for what somebody wrote
add column cause text,
-- what the source said before no longer counts: whatever it sends next is news
add column resets_ledger boolean not null default false;

---------- the moment in which an entity took a load

-- Drawn under the lock of the table, so it tells which edits the load found there:
-- those with a clock between the load's own and this one superseded rows of it.
alter table journal.accounts
add column clock bigint;

update journal.accounts
set clock = greatest(
    (select loads.clock from raw.loads where loads.load_id = accounts.load_id),
    (select max(edits.clock) from journal.edits where edits.edited_at <= accounts.done_at)
);

alter table journal.accounts
alter column clock set default nextval('journal.clock'),
alter column clock set not null;

---------- loads that were taken back

alter table raw.loads drop constraint loads_state_check;
-- A rehearsal is judged and deleted again; nobody but its uploader sees it.
alter table raw.loads add check (state in ('loaded', 'failed', 'unloaded', 'rehearsal'));

create table journal.unloads (
    entity text not null,
    load_id bigint not null references raw.loads,
    unloaded_by text not null,
    unloaded_at timestamptz not null,
    deleted bigint not null,
    restored bigint not null,
    -- rows on which something newer stands
    newer bigint not null,
    -- {rule: rows that could not be restored, since today they would break it}
    refused jsonb not null,
    primary key (entity, load_id)
);

---------- rows that a recomputation took away: with the deletions in the journal,
-- all that a reader of the feed of changes does not find in the curated table

create table journal.vanished (
    entity text not null,
    key text not null,
    transaction_id xid8 not null default pg_current_xact_id()
);

create index on journal.vanished (entity, transaction_id);
create index on journal.edits (entity, transaction_id) where operation = 'delete';
"""


def upgrade() -> None:
    op.execute(SQL)
