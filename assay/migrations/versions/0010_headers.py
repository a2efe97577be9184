"""Which columns of its source a load had no header for."""

from alembic import op

revision = "0010"
down_revision = "0009"

SQL = """
-- Its rows say nothing of them. What was loaded before this was known is taken to have had all.
alter table raw.loads add column absent_columns text[] not null default '{}';
"""


def upgrade() -> None:
    op.execute(SQL)
