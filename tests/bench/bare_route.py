"""python -m bench.bare_route PORT: the least a Litestar route can do that keeps a job: check the body, one insert."""

import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from litestar import Litestar, post
from litestar.params import JSONBody
from msgspec import Struct
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool


class Item(Struct):
    org_id: str
    app_version_id: str
    test_path: str


class Kept(Struct):
    job_id: int


def create_app(url: str) -> Litestar:
    pool: AsyncConnectionPool[AsyncConnection[Any]] = AsyncConnectionPool(
        url, kwargs={"autocommit": True}, max_size=10, open=False)  # fmt: skip

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncGenerator[None]:
        async with pool:
            yield

    @post("/jobs")
    async def keep(data: JSONBody[Item]) -> Kept:
        async with pool.connection() as connection:
            cursor = await connection.execute(
                "insert into item (payload) values (%s) returning job_id", (data.test_path,)
            )
            row = await cursor.fetchone()
            assert row
            return Kept(row[0])

    return Litestar([keep], lifespan=[lifespan], openapi_config=None, logging_config=None)


if __name__ == "__main__":
    uvicorn.run(create_app(os.environ["QGJOB_DATABASE_URL"]), port=int(sys.argv[1]), access_log=False)
