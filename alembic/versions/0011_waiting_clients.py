"""Runs that end when the client that waits for them is gone."""

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.execute(
        """
        -- client_until: when its client, not heard of since, counts as lost, and the run is cancelled.
        alter table qgjob.run
          add column client_timeout_s integer,
          add column client_until timestamptz,
          add constraint a_client_has_a_timeout check ((client_timeout_s is null) = (client_until is null)) not valid,
          add constraint client_timeout_in_range check (client_timeout_s between 10 and 86400) not valid;
        alter table qgjob.run validate constraint a_client_has_a_timeout;
        alter table qgjob.run validate constraint client_timeout_in_range;
        create index runs_with_a_client on qgjob.run (client_until)
          where client_until is not null and finished_at is null;

        -- Since when clients could be heard of without a gap: where no API process was up, none of them is lost.
        create table qgjob.client_watch (
          only_row boolean primary key default true check (only_row),
          since timestamptz not null,
          checked_at timestamptz not null
        ) with (fillfactor = 50);

        alter type qgjob.run_details add attribute lost_client boolean;
        """
    )
