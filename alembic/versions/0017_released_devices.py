"""Since when nobody drives a device: one that is long gone is not listed any more."""

from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    op.execute("alter table qgjob.device add column released_at timestamptz")
