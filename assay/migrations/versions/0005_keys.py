"""Keys of rows that are born in the API."""

from alembic import op

revision = "0005"
down_revision = "0004"

SQL = """
grant select, update on all sequences in schema curated to assay_api;
alter default privileges in schema curated grant select, update on sequences to assay_api;

-- The next key of a sequence that is new to an entity: files may name keys of their own, and a
-- sequence that was made anew begins again. Where files brought a long row of them it is passed at
-- once; whoever does that waits for others who do.
create function journal.next_key(keys regclass, ledger regclass, entity text)
returns bigint language plpgsql as $$
declare
    candidate bigint;
    is_known boolean;
begin
    loop
        candidate := nextval(keys);
        execute format('select exists (select from %s where key = $1)', ledger)
        into is_known using candidate;
        if is_known then
            perform pg_advisory_xact_lock(hashtextextended('next key of ' || entity, 0));
            execute format(
                'select key from %s as known
                where
                    key >= $1
                    and not exists (select from %s as other where other.key = known.key + 1)
                order by key limit 1',
                ledger, ledger
            )
            into candidate using candidate;
            execute format('select setval($1, greatest($2, last_value)) from %s', keys)
            using keys, candidate;
        elsif not exists (
            select from journal.edits
            where edits.entity = next_key.entity and edits.key = candidate::text
        ) then
            return candidate;
        end if;
    end loop;
end $$;
"""


def upgrade() -> None:
    op.execute(SQL)
