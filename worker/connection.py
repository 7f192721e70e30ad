"""How a worker reaches the engine and the files: by PostgreSQL and the object store, or by the API alone.

Nothing that speaks to PostgreSQL is imported for the second, so that a machine in a lab need not have it.
"""

import os
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from msgspec import Struct

from qgjob.errors import Usage
from worker import builds
from worker.api import Api
from worker.config import ConfigError
from worker.http_engine import HttpEngine
from worker.protocol import Engine
from worker.stores import Store


class Unusable(Exception):
    """What was named cannot be used; the message says what is wrong and what to do."""


class Connection(Struct, frozen=True):
    """`opened`: while the worker runs. Raises Unusable."""

    engine: Engine
    store: Store
    opened: Callable[[], AbstractAsyncContextManager[None]]


def by_api(server_url: str) -> Connection:
    """Raises ConfigError."""
    try:
        api = Api(server_url, os.environ.get("QGJOB_TOKEN") or None)
    except Usage as error:
        raise ConfigError(f"--server: {error.message}" + (f" ({error.hint})" if error.hint else "")) from None
    builds.fetch_from(api)

    @asynccontextmanager
    async def opened() -> AsyncGenerator[None]:
        try:
            yield
        finally:
            await api.close()

    return Connection(HttpEngine(api), api, opened)


def by_database(url: str, devices: int) -> Connection:
    """Raises ConfigError."""
    import sql
    from qgjob.store import UnusableStore
    from sql.schema import UnusableDatabase, require
    from worker.engine import SqlEngine
    from worker.object_store import ObjectStore

    try:
        store = ObjectStore()
    except UnusableStore as error:
        raise ConfigError(str(error)) from None
    try:
        db = sql.open_pool(url, size=max(2, min(10, devices)))
    except ValueError as error:
        raise ConfigError(str(error)) from None
    listen_url = os.environ.get("QGJOB_LISTEN_URL", url) or None
    builds.fetch_from(store)

    @asynccontextmanager
    async def opened() -> AsyncGenerator[None]:
        try:
            await require(url)
        except UnusableDatabase as error:
            raise Unusable(str(error)) from None
        async with db:
            yield

    return Connection(SqlEngine(db, listen_url), store, opened)
