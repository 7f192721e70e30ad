"""Calls of the SQL functions on a throw-away copy of a database, at times that the caller chooses.

For replays and simulations only: one session, no retries, and `qgjob.now` moves when it is told to.
"""

import os
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString, TypeVar
from urllib.parse import urlsplit

import msgspec
import psycopg
from psycopg.sql import SQL, Identifier

from sql import statement

Row = TypeVar("Row", bound=msgspec.Struct)

# Later than any real clock: nothing that was written before the replay lies in its future.
BEGINNING = datetime(2100, 1, 1, tzinfo=UTC)


class VirtualTime:
    """A session on a database of its own."""

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        self._connection = connection
        self.set_clock(0.0)

    def set_clock(self, now_s: float) -> None:
        """Seconds since the beginning of the replay."""
        now = BEGINNING + timedelta(seconds=now_s)
        self._connection.execute("select set_config('qgjob.now', %s, false)", [now.isoformat()])

    def many(self, row: type[Row], function: LiteralString, **args: Any) -> list[Row]:
        """All rows that the function returns."""
        found = self._connection.execute(statement(row, function, tuple(args)), args).fetchall()
        names = row.__struct_fields__
        return [msgspec.convert(dict(zip(names, values, strict=True)), row) for values in found]

    def one(self, row: type[Row], function: LiteralString, **args: Any) -> Row:
        (found,) = self.many(row, function, **args)
        return found

    def call(self, function: LiteralString, **args: Any) -> None:
        """For functions whose answer does not matter."""
        self._connection.execute(statement(None, function, tuple(args)), args)


@contextmanager
def copied(url: str) -> Generator[VirtualTime]:
    """A session on a copy of this migrated database, which itself stays as it is and must have no other session."""
    to_copy = urlsplit(url)
    name = f"qgjob_replay_{os.getpid()}"
    with psycopg.connect(to_copy._replace(path="/postgres").geturl(), autocommit=True) as server:
        server.execute(SQL("drop database if exists {} with (force)").format(Identifier(name)))
        # Copying files beats logging them six to one, and nobody wants to recover this database.
        server.execute(
            SQL("create database {} template {} strategy file_copy").format(
                Identifier(name), Identifier(to_copy.path.strip("/"))
            )
        )
        try:
            copy = to_copy._replace(path=f"/{name}").geturl()
            with psycopg.connect(copy, autocommit=True, prepare_threshold=0) as connection:
                yield VirtualTime(connection)
        finally:
            server.execute(SQL("drop database if exists {} with (force)").format(Identifier(name)))
