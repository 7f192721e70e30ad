"""Does the database fit this checkout? Asked once, when a service starts."""

from pathlib import Path
from typing import LiteralString

import psycopg
from psycopg.errors import UndefinedTable

from qgjob.errors import Unavailable

REVISIONS = Path(__file__).resolve().parents[1] / "alembic" / "versions"
QUERY: LiteralString = """
  select version_num, current_setting('default_transaction_isolation') like 'read %' from qgjob.alembic_version"""


async def require(url: str) -> None:
    """Raises Unavailable unless PostgreSQL answers, is at this checkout's revision or a newer one, and lets
    transactions see what others commit."""
    newest = max(path.stem[:4] for path in REVISIONS.glob("[0-9]*.py"))
    try:
        async with await psycopg.AsyncConnection.connect(url, connect_timeout=10) as connection:
            row = await (await connection.execute(QUERY)).fetchone()
    except UndefinedTable:
        raise Unavailable("this database has no qgjob schema; run: alembic upgrade head") from None
    except (psycopg.OperationalError, psycopg.ProgrammingError) as error:
        raise Unavailable(f"cannot use the database: {str(error).strip()}") from None
    at, reads_committed = row or ("nothing", True)
    if at < newest:
        raise Unavailable(f"this database is at revision {at}, needed is {newest}; run: alembic upgrade head")
    if not reads_committed:
        raise Unavailable(
            "transactions of this login do not see what others commit meanwhile, and qgjob needs that they do: "
            "alter role … set default_transaction_isolation = 'read committed'"
        )


CAN_CALL: LiteralString = """select coalesce(bool_and(has_function_privilege(oid, 'execute')), false)
  from pg_proc where pronamespace = 'qgjob'::regnamespace and proname = 'cancel_lost_clients'"""
CAN_ENTER: LiteralString = "select set_config('role', 'qgjob_api', true)"


async def require_role(url: str, *, asks: bool) -> None:
    """Raises Unavailable unless this login may call the functions of the API and, where callers are asked for
    tokens, become qgjob_api, whom row-level security holds for."""
    try:
        async with await psycopg.AsyncConnection.connect(url, connect_timeout=10) as connection:
            row = await (await connection.execute(CAN_CALL)).fetchone()
            if asks:
                await connection.execute(CAN_ENTER)
    except psycopg.OperationalError as error:
        raise Unavailable(f"cannot use the database: {str(error).strip()}") from None
    except psycopg.Error as error:
        raise Unavailable(
            f"callers are asked for tokens, but the login of QGJOB_DATABASE_URL is no member of qgjob_api: "
            f"{error.diag.message_primary}; as a superuser: create role qgjob_api nologin (if it is missing), "
            "alembic upgrade head, grant qgjob_api to that login"
        ) from None
    if not row or not row[0]:
        raise Unavailable(
            "the login of QGJOB_DATABASE_URL may not call the functions of the API; as a superuser: grant qgjob_api to "
            "that login (and let it inherit its rights)"
        )
