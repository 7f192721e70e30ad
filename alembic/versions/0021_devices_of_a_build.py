"""The devices that hold a build, for a group that waits is left to one that is idle: see idle_holders.

Devices are few, so the index is made at once and not concurrently.
"""

from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    op.execute("create index devices_of_build on qgjob.device (installed_build) where installed_build is not null")
