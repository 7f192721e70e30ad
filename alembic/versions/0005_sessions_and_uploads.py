"""Sessions and uploads of device clouds, which all workers on one account share."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.execute(
        """
        -- claimed_by: the worker that is uploading it.
        alter table qgjob.upload
          alter column url drop not null,
          alter column uploaded_at drop not null,
          add column claimed_by bigint references qgjob.worker,
          add column claimed_at timestamptz,
          add constraint upload_has_a_time check ((url is null) = (uploaded_at is null)),
          add constraint claim_has_a_time check ((claimed_by is null) = (claimed_at is null));

        -- account: of a device cloud, as a hash; while the batch lives it holds one of the account's parallel sessions.
        alter table qgjob.batch
          add column account text,
          drop constraint end_reason_is_known,
          add constraint end_reason_is_known
            check (end_reason in ('done', 'drained', 'busy', 'unprepared', 'expired', 'replaced'));
        """
    )
