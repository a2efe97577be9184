"""How far the records of other systems' APIs were read."""

from alembic import op

revision = "0007"
down_revision = "0006"

SQL = """
-- A walk through the listings of a source table. What it has read lies in the raw table, under a
-- load that nobody sees before it is recorded.
create table raw.walks (
    load_id bigint primary key,
    source_table text not null,
    -- where the listings are; those of another place have nothing to do with these
    origin text not null,
    -- the walk that brought the parents
    parents bigint,
    state text not null default 'walking' check (state in ('walking', 'whole', 'recorded')),
    -- asked for, and the latest of what came: the next walk begins there
    modified_after text,
    modified_until text,
    size_bytes bigint not null default 0,
    started_at timestamptz not null default clock_timestamp()
);

create unique index on raw.walks (source_table) where state <> 'recorded';
create index on raw.walks (source_table, origin, load_id);

-- One for each parent, or one in all. The token is of the next page.
create table raw.listings (
    load_id bigint not null references raw.walks on delete cascade,
    listing bigint not null,
    parent jsonb,
    token text,
    pages bigint not null default 0,
    is_whole boolean not null default false,
    is_gone boolean not null default false,
    primary key (load_id, listing)
);
"""


def upgrade() -> None:
    op.execute(SQL)
