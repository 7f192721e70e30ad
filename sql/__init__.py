"""The only way from Python into the database: call a function, get structs back.

A call is derived from the struct it fills: `select <fields> from qgjob.<function>(p_<name> => …)`. Every call is one
transaction. Each function's rules are told in its file in this folder.
"""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Coroutine, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any, LiteralString, NamedTuple, TypeVar

import msgspec
from psycopg import AsyncConnection, AsyncCursor, OperationalError
from psycopg.errors import InvalidSqlStatementName, QueryCanceled, ReadOnlySqlTransaction
from psycopg.rows import BaseRowFactory, RowMaker, tuple_row
from psycopg.sql import SQL, Identifier, Placeholder
from psycopg.types.json import Jsonb as Json
from psycopg.types.json import set_json_dumps, set_json_loads
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from qgjob import logs
from qgjob.errors import Usage

__all__ = [
    "Database",
    "Json",
    "OnBehalf",
    "call",
    "listen",
    "many",
    "one",
    "open_pool",
    "optional",
    "prepare_threshold",
    "statement",
    "within",
]


class Connection(AsyncConnection[Any]):
    """One that knows when it was last seen alive (seconds of the process's clock), and how long its calls may take."""

    alive_at = 0.0
    limit_s: float | None = None
    longer_s: Mapping[str, float] = {}


Database = AsyncConnectionPool[Connection]
Row = TypeVar("Row", bound=msgspec.Struct)
Answer = TypeVar("Answer")


class OnBehalf(NamedTuple):
    """Calls for somebody who showed a token: by the role that row-level security holds for, and for the rows of one
    organisation (None: of all). `asked` is False where nobody is asked for tokens; then calls are the login's own."""

    db: Database
    org_id: str | None = None
    asked: bool = True


# For the transaction only, so that whoever has the connection next finds nothing of it, also behind a pooler.
# One organisation's rows are found by index; policies alone make a scan look cheaper where there are no statistics.
ENTER = b"""select set_config('role', 'qgjob_api', true) as role,
  set_config('qgjob.org_id', %(org_id)s, true) as org_id,
  set_config('enable_seqscan', case when %(org_id)s = '*' then current_setting('enable_seqscan') else 'off' end, true)
    as scans"""

set_json_dumps(msgspec.json.encode)
set_json_loads(msgspec.json.decode)

logs.seldom("psycopg.pool")

# A query that was sent into a dead network must fail in seconds, not after the kernel's quarter of an hour.
NETWORK: dict[str, Any] = {
    "connect_timeout": 10,
    "tcp_user_timeout": 10_000,
    "keepalives_idle": 10,
    "application_name": "qgjob",
}
# A connection that has worked so recently is not asked whether it still does: asking costs as much as a short call.
TRUSTED_S = 1.0
# The pool waits twice as long after each attempt to connect, up to so long; then it begins anew.
RECONNECT_S = 3.0


def prepare_threshold() -> int | None:
    """After how many calls a statement is prepared; None: never. Raises Usage."""
    said = os.environ.get("QGJOB_PREPARED_STATEMENTS") or "on"
    if said not in ("on", "off"):
        raise Usage(f"QGJOB_PREPARED_STATEMENTS is on or off, not {said!r}")
    return 5 if said == "on" else None


def open_pool(
    url: str, *, size: int, limit_s: float | None = None, longer_s: Mapping[str, float] | None = None
) -> Database:
    """A pool that is not open yet: use it as `async with`. Needs a URL that psycopg understands. A call that takes
    longer than `limit_s` is cancelled, which works through a pooler, too; `longer_s`: by function. Raises Usage."""
    options = NETWORK | {"autocommit": True, "prepare_threshold": prepare_threshold()}

    async def check(connection: Connection) -> None:
        """One dead connection says that the others are dead, too: finding that out one by one takes seconds each."""
        now = time.monotonic()
        if now - connection.alive_at < TRUSTED_S:
            return
        try:
            await AsyncConnectionPool.check_connection(connection)
        except OperationalError:
            await pool.drain()
            raise
        connection.alive_at = now

    async def configure(connection: Connection) -> None:
        connection.limit_s, connection.longer_s = limit_s, longer_s or {}

    pool: Database = AsyncConnectionPool(
        url,
        connection_class=Connection,
        kwargs=options,
        min_size=1,
        max_size=size,
        open=False,
        timeout=10,
        reconnect_timeout=RECONNECT_S,
        reconnect_failed=AsyncConnectionPool.check,  # grows a pool that has nothing left for who waits already
        check=check,
        configure=configure,
    )
    return pool


async def listen(url: str, *channels: LiteralString) -> AsyncConnection[Any]:
    """A connection of its own that hears these channels; not through a transaction-mode pooler."""
    connection = await AsyncConnection.connect(url, autocommit=True, **NETWORK)
    for channel in channels:
        await connection.execute(SQL("listen {}").format(Identifier(channel)))
    return connection


async def one(db: Database | OnBehalf, row: type[Row], function: LiteralString, **args: Any) -> Row:
    """The single row the function returns. Raises psycopg.Error; SQLSTATE QJxxx are the function's own refusals."""
    found = await optional(db, row, function, **args)
    if found is None:
        raise LookupError(f"{function} returned no row")
    return found


async def optional(db: Database | OnBehalf, row: type[Row], function: LiteralString, **args: Any) -> Row | None:
    """The row the function returns, or None where it has nothing."""
    async with _called(db, _struct_row(row), statement(row, function, tuple(args)), function, args) as cursor:
        return await cursor.fetchone()


async def many(db: Database | OnBehalf, row: type[Row], function: LiteralString, **args: Any) -> list[Row]:
    """All rows the function returns, in its order."""
    async with _called(db, _struct_row(row), statement(row, function, tuple(args)), function, args) as cursor:
        return await cursor.fetchall()


async def call(db: Database | OnBehalf, function: LiteralString, **args: Any) -> None:
    """For functions that answer nothing."""
    async with _called(db, tuple_row, statement(None, function, tuple(args)), function, args):
        pass


async def within(seconds: float, call: Coroutine[Any, Any, Answer]) -> Answer:
    """For who would rather hear soon that there is no database. Raises PoolTimeout, too."""
    asking = asyncio.create_task(call)
    await asyncio.wait({asking}, timeout=seconds)
    if not asking.done():
        asking.cancel()  # and not waited for: in a dead network, cancelling a statement takes seconds, too
        asking.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        raise PoolTimeout(f"no answer after {seconds:.2f} sec")
    return asking.result()


@asynccontextmanager
async def _called(
    db: Database | OnBehalf, rows: BaseRowFactory[Any], statement: bytes, function: str, args: dict[str, Any]
) -> AsyncGenerator[AsyncCursor[Any]]:
    if not isinstance(db, OnBehalf):
        db = OnBehalf(db, asked=False)
    async with (
        db.db.connection() as connection,
        _explained(db.db),
        _limited(connection, function),
        connection.cursor(row_factory=rows) as cursor,
    ):
        if db.asked:
            # Without another round trip: what a pipeline sends is one transaction until its end.
            async with connection.pipeline():
                await connection.execute(ENTER, {"org_id": db.org_id or "*"})
                await cursor.execute(statement, args)
        else:
            await cursor.execute(statement, args)
        yield cursor


@asynccontextmanager
async def _explained(db: Database) -> AsyncGenerator[None]:
    try:
        yield
    except ReadOnlySqlTransaction:  # a standby, by now perhaps: who connects again may find the primary
        await db.drain()
        raise
    except InvalidSqlStatementName as error:
        hint = "Behind a pooler that cannot carry prepared statements, set QGJOB_PREPARED_STATEMENTS=off."
        raise InvalidSqlStatementName(f"{str(error).strip()}. {hint}") from error


@asynccontextmanager
async def _limited(connection: Connection, function: str) -> AsyncGenerator[None]:
    """Leaving a call cancels it in PostgreSQL, too; that looks as if PostgreSQL had done it by itself."""
    try:
        async with asyncio.timeout(connection.longer_s.get(function, connection.limit_s)):
            yield
    except TimeoutError:
        raise QueryCanceled(f"{function} took too long") from None


@lru_cache(maxsize=500)  # there are a few dozen; composing one takes longer than sending it
def statement(row: type[msgspec.Struct] | None, function: LiteralString, args: tuple[str, ...]) -> bytes:
    """The call of a function with these arguments, for the columns that are the fields of the struct."""
    named = SQL(", ").join(SQL("{} => {}").format(Identifier(f"p_{name}"), Placeholder(name)) for name in args)
    wanted = SQL("select qgjob.{}({})").format(Identifier(function), named)
    if row:
        columns = SQL(", ").join(map(Identifier, row.__struct_fields__))
        wanted = SQL("select {} from qgjob.{}({})").format(columns, Identifier(function), named)
    return wanted.as_bytes()


def _struct_row(row: type[Row]) -> BaseRowFactory[Row]:
    """Like psycopg's class_row, but every value is checked, and jsonb becomes nested structs."""

    def factory(cursor: Any) -> RowMaker[Row]:
        names = [column.name for column in cursor.description or ()]
        return lambda values: msgspec.convert(dict(zip(names, values, strict=True)), row)

    return factory
