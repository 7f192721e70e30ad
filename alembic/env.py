"""Bring one database to the state this checkout describes.

Tables change through the numbered revisions in versions/. Functions and views live in sql/, one object per file, and
are created again whenever a file changed. Everything happens in one transaction, one migrator at a time; where others
are in its way it begins again.
"""

import random
import sys
import time
from hashlib import sha256
from pathlib import Path

import psycopg
import sqlalchemy as sa
from alembic import context

from qgjob.errors import Exit, Usage
from sql.addresses import database_url

SQL = Path(__file__).resolve().parents[1] / "sql"
OLDEST = 150_000
# Shorter than deadlock_timeout: whoever is in the way of a migration, and waits for it, goes on and loses nothing.
LOCKS_MS = 500
# How long to begin again where somebody is in the way each time.
PATIENCE_S = 120


ROLES = """select string_agg(rolname, ' ' order by rolname) from pg_roles
    where rolname in ('qgjob_api', 'qgjob_reader', 'qgjob_worker')"""


def replace_objects(connection: sa.Connection) -> None:
    """Apply every file under sql/, unless the comment on the schema says that they already are."""
    scripts = {path.relative_to(SQL): path.read_text() for path in sorted(SQL.glob("*/*.sql"))}
    rights = (SQL / "rights.sql").read_text()
    # A role that was missing before gets its rights now.
    applied = [*scripts.values(), rights, connection.exec_driver_sql(ROLES).scalar() or ""]
    if connection.scalar(sa.text("select obj_description('qgjob'::regnamespace)")) == described(applied):
        return
    run = connection.connection.cursor().execute  # psycopg itself: no parsing of ":name" or "%s"
    for check in ("off", "on"):  # once in any order, once more so that PostgreSQL validates every body
        run(f"set local check_function_bodies = {check}")
        for path, script in scripts.items():
            try:
                run(script)
            except psycopg.Error as error:
                error.add_note(f"in sql/{path}")
                raise
    run(rights)
    roles = connection.exec_driver_sql(ROLES).scalar() or ""
    if "qgjob_worker" in roles.split():
        for path in scripts:  # the folder of whoever calls it
            if path.parent.name == "worker":
                run(f"grant execute on function qgjob.{path.stem} to qgjob_worker")
    run(f"comment on schema qgjob is '{described([*scripts.values(), rights, roles])}'")


def described(applied: list[str]) -> str:
    return "sql " + sha256("".join(applied).encode()).hexdigest()[:12]


def refuse(sentence: str, code: Exit = Exit.REFUSED) -> None:
    sys.stderr.write(f"error: {sentence}\n")
    sys.exit(code)


def warn(notice: psycopg.errors.Diagnostic) -> None:
    sys.stderr.write(f"warning: {notice.message_primary}\n")


def migrate(url: str) -> None:
    # By psycopg, which knows all URLs that API and workers take, such as those of several hosts.
    engine = sa.create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(url), poolclass=sa.NullPool)
    give_up_at = time.monotonic() + PATIENCE_S
    while True:
        try:
            return migrate_at_once(engine)
        except (sa.exc.OperationalError, psycopg.OperationalError) as error:
            in_the_way = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)
            if not isinstance(getattr(error, "orig", error), in_the_way) or time.monotonic() > give_up_at:
                raise
        time.sleep(random.uniform(0.1, 1))


def migrate_at_once(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        version = connection.connection.driver_connection.info.server_version
        if version < OLDEST:
            refuse(f"qgjob needs PostgreSQL 15 or newer; this server is {version // 10_000}.{version % 10_000}.")
        connection.exec_driver_sql("set local client_min_messages = warning")
        connection.connection.driver_connection.add_notice_handler(warn)
        connection.exec_driver_sql("set local lock_timeout = '5min'")  # nobody waits for whoever waits here
        connection.exec_driver_sql("select pg_advisory_xact_lock(hashtext('qgjob.migrate'))")
        connection.exec_driver_sql(f"set local lock_timeout = '{LOCKS_MS}ms'")
        connection.exec_driver_sql("create schema if not exists qgjob")
        context.configure(connection=connection, version_table_schema="qgjob")
        with context.begin_transaction():
            context.run_migrations()
            newest = context.get_context().get_current_revision() == context.get_head_revision()
        if newest:  # the files are written for no other tables
            replace_objects(connection)


try:
    migrate(database_url())
except Usage as error:
    refuse(error.message, error.exit)
except (sa.exc.OperationalError, psycopg.OperationalError) as error:
    refuse(f"cannot migrate the database: {str(getattr(error, 'orig', error)).strip()}", Exit.UNAVAILABLE)
except psycopg.errors.InsufficientPrivilege as error:
    refuse(f"this role may not migrate the database: {error.diag.message_primary}")
