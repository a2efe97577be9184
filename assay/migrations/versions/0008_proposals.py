"""What the values of a rejected row may have been."""

from alembic import op

revision = "0008"
down_revision = "0007"

SQL = """
alter table journal.verdicts add column proposals text[] not null default '{}';
"""


def upgrade() -> None:
    op.execute(SQL)
