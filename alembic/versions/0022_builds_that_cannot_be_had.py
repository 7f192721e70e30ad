"""Batches may end because their worker could not have the build's file: a loss, though nothing of the device."""

from alembic import op

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    op.execute(
        """
        alter table qgjob.batch
          drop constraint end_reason_is_known,
          add constraint end_reason_is_known check (end_reason in
            ('done', 'drained', 'busy', 'unprepared', 'unfetched', 'refused', 'expired', 'replaced'));
        """
    )
