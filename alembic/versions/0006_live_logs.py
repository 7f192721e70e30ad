"""What running jobs print while somebody watches, and what a batch was claimed to install."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.execute(
        """
        -- Written for jobs that somebody watches, and lost in a crash: the whole log comes with the result. length
        -- counts everything that the attempt has printed, log is the end of it.
        create unlogged table qgjob.live_log (
          job_id bigint primary key,
          batch_id bigint,
          length bigint not null default 0,
          log text not null default '',
          watched_until timestamptz not null
        );

        -- A group may be told of an artifact while a batch of it runs; what the batch installs stays what it was.
        alter table qgjob.batch add column build text;
        """
    )
