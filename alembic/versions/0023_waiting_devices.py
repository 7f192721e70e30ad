"""Which devices wait for a hint has a table of its own: a submission that somebody does not commit locks no device.

The column that said so stays until a later revision: claims that are under way while this is applied write it.
"""

from alembic import op

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    op.execute(
        """
        -- Devices that found nothing and want a hint. Unlogged: after a crash they come by themselves.
        create unlogged table qgjob.waiting_device (
          device_id bigint primary key references qgjob.device on delete cascade,
          target text not null
        );
        create index waiting_for_target on qgjob.waiting_device (target);
        insert into qgjob.waiting_device select device_id, target from qgjob.device where waiting;
        """
    )
