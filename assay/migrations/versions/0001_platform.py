"""The platform's tables: loads, the journal of edits with its clock, users."""

from alembic import op

revision = "0001"
down_revision = None

SQL = """
create schema if not exists journal;
create schema if not exists auth;

---------- loads

-- Names a load; drawn when the load starts. It orders nothing: the clock does.
create sequence raw.load_id;

create table raw.loads (
    load_id bigint primary key default nextval('raw.load_id'),
    source_table text not null,
    file_name text not null,
    sha256 text,
    size_bytes bigint,
    row_count bigint,
    state text not null check (state in ('loaded', 'failed')),
    clock bigint unique,
    notes jsonb not null default '{}',
    error text,
    loaded_by text not null,
    started_at timestamptz not null,
    finished_at timestamptz not null default clock_timestamp(),
    constraint loaded_is_complete check (
        state <> 'loaded'
        or (
            clock is not null and sha256 is not null
            and row_count is not null and error is null
        )
    ),
    constraint failed_says_why check ((state = 'failed') = (error is not null))
);

create index on raw.loads (source_table, clock);

---------- journal

-- The one sequence that orders loads and edits.
create sequence journal.clock;

create table journal.edits (
    clock bigint primary key default nextval('journal.clock'),
    entity text not null,
    key text not null,
    operation text not null check (operation in ('insert', 'update', 'delete')),
    before jsonb,
    after jsonb,
    edited_by text not null,
    edited_at timestamptz not null,
    -- who wants to know what a snapshot has not seen yet asks this column
    transaction_id xid8 not null default pg_current_xact_id(),
    constraint images_fit_operation check (
        (operation = 'insert') = (before is null)
        and (operation = 'delete') = (after is null)
    )
);

create index on journal.edits (entity, key, clock);
create index on journal.edits (entity, clock);

create function journal.refuse_rewriting() returns trigger language plpgsql as $$
begin
    raise exception 'journal.% is append-only: % refused', tg_table_name, tg_op;
end $$;

create trigger append_only before update or delete or truncate on journal.edits
for each statement execute function journal.refuse_rewriting();

-- A verdict is a fact about a load: a rebuild honours it.
create table journal.verdicts (
    entity text not null,
    load_id bigint not null references raw.loads,
    row_number bigint not null,
    rules text[] not null check (cardinality(rules) > 0),
    primary key (entity, load_id, row_number)
);

-- What became of a load in one entity. Its being here is what "done" means, and
-- the sum is promise P2: a build whose account does not add up cannot commit.
create table journal.accounts (
    entity text not null,
    load_id bigint not null references raw.loads,
    rows bigint not null,
    new bigint not null,
    changed bigint not null,
    unchanged bigint not null,
    superseded bigint not null,
    duplicates bigint not null,
    rejected bigint not null,
    rules jsonb not null,
    repairs jsonb not null,
    warnings jsonb not null,
    done_at timestamptz not null default clock_timestamp(),
    primary key (entity, load_id),
    constraint every_row_is_accounted_for check (
        rows = new + changed + unchanged + superseded + duplicates + rejected
    )
);

---------- users

create table auth.users (
    user_id uuid primary key default gen_random_uuid(),
    username text not null check (username = lower(username) and username <> ''),
    password_hash text not null,
    role text not null check (role in ('reader', 'editor', 'admin')),
    is_active boolean not null default true,
    created_at timestamptz not null default clock_timestamp(),
    unique (username)
);
"""


def upgrade() -> None:
    op.execute(SQL)
