"""What nobody reads any more: a column, and a function that watch_runs has replaced.

submit_held_run and retry_held_run stay for a while: replicas of the version before call them.
"""

from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.execute(
        """
        alter table qgjob.run drop column retry_of;
        drop function if exists qgjob.watch_run(bigint);
        """
    )
