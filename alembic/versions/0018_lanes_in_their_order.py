"""Lanes in the very order in which claims look at them, so that the first is found without sorting all of them.

Lanes are few, so the index is made at once and not concurrently.
"""

from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    op.execute(
        """
        drop index qgjob.active_lanes;
        create index active_lanes on qgjob.lane (target, pass, lane_id desc) where active;
        """
    )
