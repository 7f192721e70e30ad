"""The only way from Python into the database: call a function, get structs back.

A call is derived from the struct it fills: `select <fields> from qgjob.<function>(p_<name> => …)`. Every call is one
transaction. Each function's rules are told in its file in this folder.
"""

import os
from typing import Any, LiteralString, TypeVar

import msgspec
from psycopg import AsyncConnection, OperationalError
from psycopg.rows import BaseRowFactory, RowMaker
from psycopg.sql import SQL, Composed, Identifier, Placeholder
from psycopg.types.json import Jsonb as Json
from psycopg.types.json import set_json_dumps, set_json_loads
from psycopg_pool import AsyncConnectionPool

__all__ = ["Database", "Json", "call", "listen", "many", "one", "open_pool", "optional"]

Database = AsyncConnectionPool[AsyncConnection[Any]]
Row = TypeVar("Row", bound=msgspec.Struct)

set_json_dumps(msgspec.json.encode)
set_json_loads(msgspec.json.decode)

# A query that was sent into a dead network must fail in seconds, not after the kernel's quarter of an hour.
NETWORK: dict[str, Any] = {
    "connect_timeout": 10,
    "tcp_user_timeout": 10_000,
    "keepalives_idle": 10,
    "application_name": "qgjob",
}


def open_pool(url: str, *, size: int) -> Database:
    """A pool that is not open yet: use it as `async with`. Needs a URL that psycopg understands."""
    prepare = None if os.environ.get("QGJOB_PREPARED_STATEMENTS", "on") == "off" else 5
    options = NETWORK | {"autocommit": True, "prepare_threshold": prepare}

    async def check(connection: AsyncConnection[Any]) -> None:
        """One dead connection says that the others are dead, too: finding that out one by one takes seconds each."""
        try:
            await AsyncConnectionPool.check_connection(connection)
        except OperationalError:
            await pool.drain()
            raise

    pool: Database = AsyncConnectionPool(
        url, kwargs=options, min_size=1, max_size=size, open=False, timeout=10, check=check
    )
    return pool


async def listen(url: str, *channels: LiteralString) -> AsyncConnection[Any]:
    """A connection of its own that hears these channels; not through a transaction-mode pooler."""
    connection = await AsyncConnection.connect(url, autocommit=True, **NETWORK)
    for channel in channels:
        await connection.execute(SQL("listen {}").format(Identifier(channel)))
    return connection


async def one(db: Database, row: type[Row], function: LiteralString, **args: Any) -> Row:
    """The single row the function returns. Raises psycopg.Error; SQLSTATE QJxxx are the function's own refusals."""
    found = await optional(db, row, function, **args)
    if found is None:
        raise LookupError(f"{function} returned no row")
    return found


async def optional(db: Database, row: type[Row], function: LiteralString, **args: Any) -> Row | None:
    """The row the function returns, or None where it has nothing."""
    async with db.connection() as connection, connection.cursor(row_factory=_struct_row(row)) as cursor:
        await cursor.execute(_statement(row, function, args), args)
        return await cursor.fetchone()


async def many(db: Database, row: type[Row], function: LiteralString, **args: Any) -> list[Row]:
    """All rows the function returns, in its order."""
    async with db.connection() as connection, connection.cursor(row_factory=_struct_row(row)) as cursor:
        await cursor.execute(_statement(row, function, args), args)
        return await cursor.fetchall()


async def call(db: Database, function: LiteralString, **args: Any) -> None:
    """For functions that answer nothing."""
    async with db.connection() as connection:
        await connection.execute(SQL("select qgjob.{}({})").format(Identifier(function), _named(args)), args)


def _statement(row: type[msgspec.Struct], function: LiteralString, args: dict[str, Any]) -> Composed:
    columns = SQL(", ").join(map(Identifier, row.__struct_fields__))
    return SQL("select {} from qgjob.{}({})").format(columns, Identifier(function), _named(args))


def _named(args: dict[str, Any]) -> Composed:
    return SQL(", ").join(SQL("{} => {}").format(Identifier(f"p_{name}"), Placeholder(name)) for name in args)


def _struct_row(row: type[Row]) -> BaseRowFactory[Row]:
    """Like psycopg's class_row, but every value is checked, and jsonb becomes nested structs."""

    def factory(cursor: Any) -> RowMaker[Row]:
        names = [column.name for column in cursor.description or ()]
        return lambda values: msgspec.convert(dict(zip(names, values, strict=True)), row)

    return factory
