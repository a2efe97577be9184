"""Keys of rows that are born in the API."""

from alembic import op

revision = "0005"
down_revision = "0004"

SQL = """
-- The next key of a sequence that no load has brought: files may name keys of their own.
create function journal.next_key(keys regclass, ledger regclass)
returns bigint language plpgsql as $$
declare
    candidate bigint;
    is_known boolean;
begin
    loop
        candidate := nextval(keys);
        execute format('select exists (select from %s where key = $1)', ledger)
        into is_known using candidate;
        if not is_known then
            return candidate;
        end if;
    end loop;
end $$;
"""


def upgrade() -> None:
    op.execute(SQL)
