"""The API's own role, what was answered under a key, and which items of a list are at fault."""

from alembic import op

revision = "0004"
down_revision = "0003"

SQL = """
---------- the role that the API takes on

-- It reads, and changes rows; it makes, empties and drops nothing. Roles belong to the whole
-- server: another database may make this one at the same moment.
do $$ begin
    if not exists (select from pg_catalog.pg_roles where rolname = 'assay_api') then
        create role assay_api nologin;
    end if;
exception when duplicate_object or unique_violation then null;
end $$;

do $$ begin
    if not pg_has_role(current_user, 'assay_api', 'set') then
        execute format('grant assay_api to %I', current_user);
    end if;
end $$;

create schema if not exists staging;
create schema if not exists curated;
create schema if not exists rejected;

grant usage on schema raw, staging, curated, rejected, journal, auth to assay_api;
grant select on all tables in schema raw, staging, curated, rejected, journal to assay_api;
grant insert, update, delete on all tables in schema curated to assay_api;
grant insert on journal.edits to assay_api;
grant usage on sequence journal.clock to assay_api;
grant select, insert, update, delete on all tables in schema auth to assay_api;
grant usage on all sequences in schema auth to assay_api;
revoke update, delete on auth.audit_events from assay_api;

-- Tables to come: the role that runs this is the one that makes them.
alter default privileges in schema raw, staging, curated, rejected, journal
grant select on tables to assay_api;
alter default privileges in schema curated, auth
grant select, insert, update, delete on tables to assay_api;
alter default privileges in schema curated, auth
grant usage on sequences to assay_api;

---------- accounts: what is less than nothing would make any sum right

alter table journal.accounts
add constraint nothing_is_negative check (
    least(rows, new, changed, unchanged, superseded, duplicates, rejected) >= 0
) not valid;

---------- requests that may be sent again

-- What a request with an Idempotency-Key was answered; kept for a day.
create table auth.answered_requests (
    user_id uuid not null references auth.users on delete cascade,
    route text not null,
    idempotency_key text not null,
    sha256 text not null,
    -- one for each row that was made, in order
    keys text[] not null,
    versions text[] not null,
    bodies text[] not null,
    answered_at timestamptz not null default clock_timestamp(),
    primary key (user_id, route, idempotency_key)
);

create index on auth.answered_requests (answered_at);
create index on auth.failures (failed_at);

---------- many rows in one statement

-- A statement that is to be whole or not at all ends with this.
create function journal.insist(holds boolean, state text) returns boolean language plpgsql as $$
begin
    if not holds then
        raise exception 'refused' using errcode = state;
    end if;
    return true;
end $$;

-- Which of these documents a statement refuses, and why: it is run for all of them; where that
-- fails, for the one half and then for the other, and so on. Those that it takes stay written, so
-- that the others meet them. $1 of the statement is a JSON array, $2 to $4 are the other values.
create function journal.faults_among(
    statement text, documents jsonb, place integer, most integer,
    username text, entity text, warnings text
) returns jsonb language plpgsql as $$
declare
    length constant integer := jsonb_array_length(documents);
    half constant integer := length / 2;
    faults jsonb;
    state text;
    name_of_constraint text;
    name_of_schema text;
    name_of_table text;
    name_of_column text;
begin
    begin
        execute statement using documents::text, username, entity, warnings;
        return '[]';
    exception when others then
        get stacked diagnostics
            state = returned_sqlstate,
            name_of_constraint = constraint_name,
            name_of_schema = schema_name,
            name_of_table = table_name,
            name_of_column = column_name;
        if state !~ '^(22|23|54|AS)' then
            raise;
        end if;
    end;
    if length = 1 then
        return jsonb_build_array(jsonb_build_object(
            'place', place,
            'sqlstate', state,
            'constraint_name', nullif(name_of_constraint, ''),
            'schema_name', nullif(name_of_schema, ''),
            'table_name', nullif(name_of_table, ''),
            'column_name', nullif(name_of_column, '')
        ));
    end if;
    faults := journal.faults_among(
        statement,
        jsonb_path_query_array(documents, '$[0 to $to]', jsonb_build_object('to', half - 1)),
        place, most, username, entity, warnings
    );
    if jsonb_array_length(faults) >= most then
        return faults;
    end if;
    return faults || journal.faults_among(
        statement,
        jsonb_path_query_array(documents, '$[$from to last]', jsonb_build_object('from', half)),
        place + half, most - jsonb_array_length(faults), username, entity, warnings
    );
end $$;

-- The same, and all of it is undone.
create function journal.faults_of(
    statement text, documents jsonb, username text, entity text, warnings text, most integer
) returns jsonb language plpgsql as $$
declare
    faults jsonb;
begin
    -- foreign keys too are to speak for the row that breaks them
    set constraints all immediate;
    faults := journal.faults_among(statement, documents, 0, most, username, entity, warnings);
    raise exception 'undone' using errcode = 'AS000';
exception when sqlstate 'AS000' then
    return faults;
end $$;
"""


def upgrade() -> None:
    op.execute(SQL)
