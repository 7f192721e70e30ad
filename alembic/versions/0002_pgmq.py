"""pgmq, with the queues `submissions` and `dead_letters`."""

from alembic import op
from pgmq.install import get_embedded_install_sql

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    connection = op.get_bind()
    if not connection.exec_driver_sql("select to_regclass('pgmq.meta') is not null").scalar():
        if connection.exec_driver_sql("select count(*) from pg_available_extensions where name = 'pgmq'").scalar():
            op.execute("create extension pgmq")
        else:
            # psycopg itself: the script is full of ":" and "%"
            connection.connection.cursor().execute(get_embedded_install_sql())
    op.execute("select pgmq.create(queue) from unnest(array['submissions', 'dead_letters']) as queue")
