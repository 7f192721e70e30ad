"""How long organisations keep what their runs left behind, and how the oldest of it is found."""

from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.execute(
        """
        alter table qgjob.org add column keep_days integer
          constraint keep_days_in_range check (keep_days between 1 and 36500);
        alter type qgjob.org_details add attribute keep_days integer;
        create index finished_runs on qgjob.run (org_id, finished_at) where finished_at is not null;
        create index ended_batches on qgjob.batch (org_id, ended_at) where ended_at is not null;
        """
    )
