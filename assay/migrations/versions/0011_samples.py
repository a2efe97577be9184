"""Samples are told from what people and other systems sent."""

from alembic import op

revision = "0011"
down_revision = "0010"

SQL = """
alter table raw.loads add column is_sample boolean not null default false;
create index on raw.loads (load_id) where is_sample;
"""


def upgrade() -> None:
    op.execute(SQL)
