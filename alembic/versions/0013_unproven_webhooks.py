"""A webhook has to be quick once before it is trusted to be."""

from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.execute(
        """
        -- slow: the last delivery failed or took long, or none has been made yet. renewed_at: when it was enabled again
        -- or got another url; what was claimed before says nothing of the receiver that it has now.
        alter table qgjob.webhook alter column slow set default true, add column renewed_at timestamptz;
        update qgjob.webhook set slow = true where last_at is null and not slow;
        """
    )
