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
from worker.http_engine import HttpEngine
from worker.protocol import Engine
from worker.stores import Store


class Connection(Struct, frozen=True):
    """`opened`: while the worker runs. Raises Unavailable."""

    engine: Engine
    store: Store
    opened: Callable[[], AbstractAsyncContextManager[None]]


def by_api(server_url: str) -> Connection:
    """Raises Usage."""
    try:
        api = Api(server_url, os.environ.get("QGJOB_TOKEN") or None)
    except Usage as error:
        raise Usage(f"--server: {error.message}", hint=error.hint) from None
    builds.fetch_from(api)

    @asynccontextmanager
    async def opened() -> AsyncGenerator[None]:
        try:
            yield
        finally:
            await api.close()

    return Connection(HttpEngine(api), api, opened)


def by_database(devices: int) -> Connection:
    """Raises Usage."""
    import sql
    from sql.addresses import database_url, listen_url
    from sql.schema import require
    from worker.engine import SqlEngine
    from worker.object_store import ObjectStore

    url, listening = database_url(), listen_url()
    store = ObjectStore()
    db = sql.open_pool(url, size=max(2, min(10, devices)))
    builds.fetch_from(store)

    @asynccontextmanager
    async def opened() -> AsyncGenerator[None]:
        await require(url)
        async with db:
            yield

    return Connection(SqlEngine(db, listening), store, opened)
