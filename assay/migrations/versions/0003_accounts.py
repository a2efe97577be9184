"""Accounts: scopes, sessions, one-time codes, the throttle of logins, audit events."""

from alembic import op

revision = "0003"
down_revision = "0002"

SQL = """
---------- users

alter table auth.users
-- a path of the API, a colon, and `read`, `write` or `pii`: docs/security.md says what they mean
add column scopes text[] not null default '{}',
add column display_name text,
-- tokens say which version they were issued for: another one ends them all at once
add column token_version integer not null default 0,
-- SHA-256 of the code by which somebody without a password chooses one
add column code_hash bytea,
add column code_expires_at timestamptz,
add constraint code_expires check ((code_hash is null) = (code_expires_at is null));

create function auth.end_sessions() returns trigger language plpgsql as $$
begin
    if (new.role, new.scopes, new.is_active) is distinct from (old.role, old.scopes, old.is_active)
    then
        new.token_version := old.token_version + 1;
    end if;
    return new;
end $$;

create trigger end_sessions before update on auth.users
for each row execute function auth.end_sessions();

-- Each query of a function sees what was committed before it: who waited for the lock counts anew.
create function auth.keep_an_admin() returns trigger language plpgsql as $$
begin
    if tg_op = 'UPDATE' and new.role = 'admin' and new.is_active then
        return new;
    end if;
    perform pg_advisory_xact_lock(hashtextextended('the last admin', 0));
    if not exists (
        select from auth.users where role = 'admin' and is_active and user_id <> old.user_id
    ) then
        raise exception 'the last active admin' using errcode = 'restrict_violation';
    end if;
    return case when tg_op = 'DELETE' then old else new end;
end $$;

create trigger keep_an_admin before update or delete on auth.users
for each row when (old.role = 'admin' and old.is_active)
execute function auth.keep_an_admin();

---------- sessions: one per login

create table auth.sessions (
    session_id uuid primary key default gen_random_uuid(),
    user_id uuid not null references auth.users on delete cascade,
    -- the user's when it began
    token_version integer not null,
    created_at timestamptz not null default clock_timestamp(),
    revoked_at timestamptz
);

create index on auth.sessions (user_id);

-- All that a session ever had, so that a used one is known when it comes again.
create table auth.refresh_tokens (
    sha256 bytea primary key,
    session_id uuid not null references auth.sessions on delete cascade,
    issued_at timestamptz not null default clock_timestamp(),
    used_at timestamptz
);

create index on auth.refresh_tokens (session_id);

---------- failed logins, by account (a hash of the name: a password may be typed in its place)
-- and by address

create table auth.failures (
    subject text primary key,
    count integer not null,
    failed_at timestamptz not null
);

---------- audit

create table auth.audit_events (
    event_id bigint primary key generated always as identity,
    at timestamptz not null default clock_timestamp(),
    event text not null,
    outcome text not null check (outcome in ('success', 'failure')),
    username text,
    address text,
    target text,
    request_id text
);

create index on auth.audit_events (username, at);

create or replace function journal.refuse_rewriting() returns trigger language plpgsql as $$
begin
    raise exception '%.% is append-only: % refused', tg_table_schema, tg_table_name, tg_op;
end $$;

create trigger append_only before update or delete or truncate on auth.audit_events
for each statement execute function journal.refuse_rewriting();
"""


def upgrade() -> None:
    op.execute(SQL)
