"""Batches may end because no device can take their build; devices are told with their quarantine."""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.execute(
        """
        alter table qgjob.batch
          drop constraint end_reason_is_known,
          add constraint end_reason_is_known
            check (end_reason in ('done', 'drained', 'busy', 'unprepared', 'refused', 'expired', 'replaced'));

        -- lost_job_id: the job that the device lost last. Losing it again says more of the job than of the device.
        alter table qgjob.device add column lost_job_id bigint;

        -- A device as users see it.
        create type qgjob.device_details as (
          device_id bigint, name text, target text, labels jsonb, worker text, status text, installed_build text,
          epoch bigint, quarantined_at timestamptz, quarantined_by text, quarantine_reason text, strikes integer
        );
        """
    )
