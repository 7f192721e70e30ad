"""Rules that were checked twice, checked once, and failures that no further attempt can help.

A job's path is checked where it is submitted (read_jobs), which is the only way in; by the table once more, it was a
tenth of what a large submission costs. What a job repeats is written by one function, of jobs that it reads.
"""

from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    # In the order in which results take them, so that nobody holds the second who waits for the first.
    op.execute(
        """
        drop trigger test_path_is_relative on qgjob.job;
        drop function qgjob.refuse_row();
        alter table qgjob.job drop constraint job_retry_of_fkey;

        alter table qgjob.attempt add column permanent boolean not null default false;
        alter type qgjob.attempt_result add attribute permanent boolean;
        """
    )
