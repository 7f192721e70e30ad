"""When lanes were served, and what nobody reads any more: a column, and a function that watch_runs has replaced.

An organisation that was idle starts level with those that were served lately (pass_level), not with those that wait.
submit_held_run and retry_held_run stay for a while: replicas of the version before call them.
"""

from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.execute(
        """
        alter table qgjob.run drop column retry_of;
        alter table qgjob.lane add column served_at timestamptz;
        create index lanes_lately_served on qgjob.lane (target, served_at desc);
        drop function if exists qgjob.watch_run(bigint);
        """
    )
