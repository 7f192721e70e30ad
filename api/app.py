"""The application: routes, the pool they share, and the tasks of every API process."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from litestar import Litestar, Request
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig
from litestar.types import ASGIApp
from msgspec import Struct
from psycopg_pool import PoolTimeout

import sql
from api import (
    batches,
    builds,
    document,
    files,
    fleet,
    jobs,
    limits,
    metrics,
    notifiers,
    orgs,
    overview,
    reference,
    runs,
    schedules,
    tokens,
    webhooks,
)
from api.access import Access
from api.announcements import Announcements
from api.deliveries import Deliveries
from api.limits import RequestLimits
from api.metrics import Metrics
from api.observing import Observed
from api.oidc import Issuer
from api.parameters import Db
from api.problems import HANDLERS
from api.queries import Queries
from api.sending import Sender, WebhookSettings
from api.submitting import Submitting
from api.upload_limit import UploadLimit
from api.watches import JOBS, RUNS, Document, Waiter, Watches
from qgjob import __version__, logs
from qgjob.store import Store
from qgjob.tracing import Tracing
from sql import housekeeping

log = logging.getLogger("api")
troubles = logs.seldom("api.background")
JSON = "application/json"
ANSWER_S = 30.0
# These read or write much at a time.
LONGER_S = {
    "get_stats": 60.0,
    "submit_run": 60.0,
    "retry_run": 60.0,
    "run_schedule": 60.0,
    "cancel_run": 60.0,
    "sample_pending": 120.0,
    "forget_runs": 60.0,
}
# How often somebody looks for results that are older than their organisation keeps them.
FORGET_EVERY_S = 60.0


class CancelledRuns(Struct):
    cancel_lost_clients: int


class ForgottenRuns(Struct):
    forget_runs: int


async def housekeep(db: sql.Database) -> None:
    """Whoever is up does it; the functions themselves let only one at a time."""
    forget_at = 0.0
    while True:
        more = False
        try:
            more = await housekeeping.housekeep(db)
            # Not in housekeep: workers do that, too, and cannot tell a client that is lost from an API that is.
            more |= (await sql.one(db, CancelledRuns, "cancel_lost_clients")).cancel_lost_clients > 0
            if time.monotonic() >= forget_at:
                if (await sql.one(db, ForgottenRuns, "forget_runs")).forget_runs:
                    more = True
                else:
                    forget_at = time.monotonic() + FORGET_EVERY_S
        except (psycopg.Error, PoolTimeout) as error:
            troubles.warning("housekeeping: %s", str(error).strip())
        await asyncio.sleep(0 if more else 1)


def tell_of_death(task: asyncio.Task[None]) -> None:
    """None of these tasks ends by itself."""
    if not task.cancelled() and (error := task.exception()):
        log.critical("a task of this process has died: start it again", exc_info=error)


def guard(
    hosts: Sequence[str] | None, requests: RequestLimits, queries: Queries
) -> Callable[[Request[Any, Any, Any]], Awaitable[None]]:
    """What is refused of every route: most of it keeps a page in somebody's browser from using an API that asks nobody
    who they are."""

    async def refuse(request: Request[Any, Any, Any]) -> None:  # async, or it would run in a thread
        if hosts and request.url.hostname not in hosts:
            raise HTTPException(status_code=400, detail=f"This is not {request.url.hostname}.")
        requests.admit(request.scope["user"].org_id or request.query_params.get("org_id"))
        # Neither a PUT nor this type can be sent from a foreign page without asking first.
        wanted = "application/octet-stream" if request.method == "PUT" and "/artifacts/" in request.url.path else JSON
        if request.headers.get("content-length", "0") != "0" and request.content_type[0] != wanted:
            raise HTTPException(status_code=415, detail=f"Send the body as {wanted}.")
        queries.check(request)

    return refuse


class Settings(Struct, kw_only=True):
    """`hosts`: the only names that requests may be for; None: any. `asks`: callers show a token. `issuer`: whose tokens
    are exchanged."""

    database_url: str
    pool_size: int
    hosts: Sequence[str] | None
    asks: bool
    issuer: Issuer | None
    upload_limit: UploadLimit
    webhooks: WebhookSettings


def given(value: object) -> Provide:
    """A dependency that is the same for every request."""
    return Provide(lambda: value, sync_to_thread=False)


def waiter_of(watches: Watches[Document], access: Access) -> Callable[..., Waiter[Document]]:
    """A dependency that comes after `db`: two that do not follow from one another cost each request two tasks."""

    def waiter(db: Db, request: Request[Any, Any, Any]) -> Waiter[Document]:
        return Waiter(watches, db, access.again(request))

    return waiter


def create_app(settings: Settings, announcements: Announcements, store: Store, traces: Tracing | None) -> ASGIApp:
    db = sql.open_pool(settings.database_url, size=settings.pool_size, limit_s=ANSWER_S, longer_s=LONGER_S)
    access = Access(db, asks=settings.asks)
    watched_runs, watched_jobs = Watches(db, announcements, RUNS), Watches(db, announcements, JOBS)
    requests = RequestLimits()
    queries = Queries()
    submitting = Submitting(requests)
    seen = Metrics(db)
    sender = Sender(settings.webhooks.allowed)
    installed = notifiers.load()
    deliveries = Deliveries(db, sender, installed, settings.webhooks)

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncGenerator[None]:
        async with db, sender:
            tasks = [
                asyncio.create_task(announcements.listen()),
                asyncio.create_task(watched_runs.keep_up()),
                asyncio.create_task(watched_jobs.keep_up()),
                asyncio.create_task(housekeep(db)),
                asyncio.create_task(requests.refresh(db)),
                asyncio.create_task(deliveries.run()),
            ]
            for task in tasks:
                task.add_done_callback(tell_of_death)
            yield
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if traces:
                traces.close()

    app = Litestar(
        route_handlers=[
            jobs.router,
            files.router,
            runs.router,
            builds.router,
            fleet.router,
            batches.router,
            orgs.router,
            schedules.router,
            webhooks.router,
            tokens.router,
            overview.router,
            metrics.get_metrics,
            reference.scripts(),
        ],
        dependencies={
            "db": Provide(access.database, sync_to_thread=False),
            "access": given(access),
            "admit_again": Provide(access.again, sync_to_thread=False),
            "issuer": given(settings.issuer),
            "store": given(store),
            "public_url": given(settings.webhooks.public_url),
            "upload_limit": given(settings.upload_limit),
            "requests": given(requests),
            "submit": Provide(submitting.on_behalf, sync_to_thread=False),
            "metrics": given(seen),
            "announcements": given(announcements),
            "receivers": given(webhooks.Receivers(sender, installed)),
            # Not simply runs and jobs: what is wrong with a field of a body that has the name of a dependency counts as
            # a fault of the server.
            "watched_runs": Provide(waiter_of(watched_runs, access), sync_to_thread=False),
            "watched_jobs": Provide(waiter_of(watched_jobs, access), sync_to_thread=False),
        },
        exception_handlers=HANDLERS,
        guards=[access.admit],
        before_request=guard(settings.hosts, requests, queries),
        lifespan=[lifespan],
        request_max_body_size=limits.SMALL_BODY,
        openapi_config=OpenAPIConfig(
            title="qgjob", version=__version__, path=reference.PATH, render_plugins=[reference.page]
        ),
        logging_config=None,
    )
    document.complete(app)
    queries.learn(app.openapi_schema)
    return Observed(app, seen, traces)
