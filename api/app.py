"""The application: routes, the pool they share, and the two tasks of every API process."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from litestar import Litestar, Request
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import SwaggerRenderPlugin
from msgspec import Struct
from psycopg_pool import PoolTimeout

import sql
from api import batches, builds, files, fleet, jobs, overview, runs
from api.announcements import Announcements
from api.limits import UploadLimit
from api.problems import HANDLERS
from api.watches import JOBS, RUNS, Watches
from qgjob import __version__
from qgjob.store import Store

log = logging.getLogger("api")
JSON = "application/json"
LARGEST_BODY = 16 * 1024 * 1024  # 10,000 jobs with the longest paths and selectors fit


class Housekept(Struct):
    expired: int
    submitted: int


async def housekeep(db: sql.Database) -> None:
    """Whoever is up does it; the function itself lets only one at a time."""
    while True:
        more = False
        try:
            more = (await sql.one(db, Housekept, "housekeep")).submitted > 0
        except (psycopg.Error, PoolTimeout) as error:
            log.warning("housekeeping: %s", str(error).strip())
        await asyncio.sleep(0 if more else 1)


def tell_of_death(task: asyncio.Task[None]) -> None:
    """None of these tasks ends by itself."""
    if not task.cancelled() and (error := task.exception()):
        log.critical("a task of this process has died: start it again", exc_info=error)


def guard(hosts: Sequence[str] | None) -> Callable[[Request[Any, Any, Any]], None]:
    """What keeps a page in somebody's browser from using an API that asks nobody who they are."""

    def refuse_browsers(request: Request[Any, Any, Any]) -> None:
        if hosts and request.url.hostname not in hosts:
            raise HTTPException(status_code=400, detail=f"This is not {request.url.hostname}.")
        # Neither a PUT nor this type can be sent from a foreign page without asking first.
        wanted = "application/octet-stream" if request.method == "PUT" and "/artifacts/" in request.url.path else JSON
        if request.headers.get("content-length", "0") != "0" and request.content_type[0] != wanted:
            raise HTTPException(status_code=415, detail=f"Send the body as {wanted}.")

    return refuse_browsers


def create_app(
    database_url: str,
    announcements: Announcements,
    store: Store,
    upload_limit: UploadLimit,
    pool_size: int = 10,
    hosts: Sequence[str] | None = None,
) -> Litestar:
    """`hosts`: the only names that requests may be for; None: any."""
    db = sql.open_pool(database_url, size=pool_size)
    watched_runs, watched_jobs = Watches(db, announcements, RUNS), Watches(db, announcements, JOBS)

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncGenerator[None]:
        async with db:
            tasks = [
                asyncio.create_task(announcements.listen()),
                asyncio.create_task(watched_runs.keep_up()),
                asyncio.create_task(watched_jobs.keep_up()),
                asyncio.create_task(housekeep(db)),
            ]
            for task in tasks:
                task.add_done_callback(tell_of_death)
            yield
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    return Litestar(
        route_handlers=[
            jobs.router,
            files.router,
            runs.router,
            builds.router,
            fleet.router,
            batches.router,
            overview.router,
        ],
        dependencies={
            "db": Provide(lambda: db, sync_to_thread=False),
            "store": Provide(lambda: store, sync_to_thread=False),
            "upload_limit": Provide(lambda: upload_limit, sync_to_thread=False),
            "announcements": Provide(lambda: announcements, sync_to_thread=False),
            "runs": Provide(lambda: watched_runs, sync_to_thread=False),
            "jobs": Provide(lambda: watched_jobs, sync_to_thread=False),
        },
        exception_handlers=HANDLERS,
        before_request=guard(hosts),
        lifespan=[lifespan],
        request_max_body_size=LARGEST_BODY,
        openapi_config=OpenAPIConfig(
            title="qgjob", version=__version__, path="/schema", render_plugins=[SwaggerRenderPlugin()]
        ),
        logging_config=None,
    )
