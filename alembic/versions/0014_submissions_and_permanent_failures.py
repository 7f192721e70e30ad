"""What submissions no longer need. A job's path is checked where it is submitted (read_jobs), which is the only way in,
and not by the table once more: the second time was a tenth of what a large submission costs. A run that repeats another
says so by its jobs.

And failures that no further attempt can help."""

from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.execute(
        """
        drop trigger test_path_is_relative on qgjob.job;
        drop function qgjob.refuse_row();
        alter table qgjob.run drop column retry_of;
        alter table qgjob.job drop constraint job_retry_of_fkey;

        alter table qgjob.attempt add column permanent boolean not null default false;
        alter type qgjob.attempt_result add attribute permanent boolean;
        """
    )
