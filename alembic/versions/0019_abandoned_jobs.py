"""Who cancels a run is told how many of its jobs go on for others."""

from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    op.execute("alter type qgjob.cancellation add attribute abandoned integer")
