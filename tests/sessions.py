"""Workers on the stand-in for BrowserStack: an executor that opens sessions, as processes and inside of a test."""

import asyncio
import hashlib
import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import msgspec
from browserstack import BrowserStack
from engine import Engine as Sql

import sql
from worker.batch import Batch, BatchJob
from worker.devices import Options as BackendOptions
from worker.devices import Session
from worker.devices.browserstack import BrowserStackParallels
from worker.engine import SqlEngine
from worker.executors import Event, Finished, Options, Prepared
from worker.executors.simulated import SimulatedExecutor
from worker.webdriver import WebDriver, WebDriverError

ENTRY_POINT = "[qgjob.executors]\nsessions = sessions:SessionExecutor\n"


class SessionExecutor(SimulatedExecutor):
    """Simulated tests that say something to a real session before they end, and fail where nobody listens."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._backend = options.backend

    async def prepare(self, batch: Batch) -> Prepared:
        session = await self._backend.open_session(batch)
        return Prepared(batch, handle=session, session_id=session.session_id)

    async def run(
        self, prepared: Prepared, jobs: Sequence[BatchJob], stop: asyncio.Event
    ) -> AsyncGenerator[Event, None]:
        session: Session = prepared.handle
        async with aclosing(super().run(prepared, jobs, stop)) as events:  # type: ignore[type-var]
            async for event in events:
                if isinstance(event, Finished):
                    try:
                        await WebDriver(session.url, session.auth).execute(session.session_id, "mobile: tap")
                    except WebDriverError as error:
                        event = Finished(event.job_id, "failed", event.duration_s, "test", str(error))
                yield event

    async def cleanup(self, prepared: Prepared, *, failed: bool) -> None:
        prepared.video_url = await self._backend.close_session(prepared.handle, failed=failed)


def plugin(folder: Path) -> dict[str, str]:
    """The environment in which workers find the executor `sessions`, as they find any installed one."""
    info = folder / "sessions-1.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sessions\nVersion: 1\n")
    (info / "entry_points.txt").write_text(ENTRY_POINT)
    return {"PYTHONPATH": os.pathsep.join([str(folder), str(Path(__file__).parent)])}


def options(cloud: BrowserStack, *, devices: int = 1, duration_s: float = 0.1, **settings: Any) -> list[str]:
    """Of `python -m worker`."""
    said = cloud.settings | settings
    return [
        *("--target", "browserstack", "--backend", "browserstack", "--devices", str(devices)),
        *("--executor", "sessions", "--setting", f"duration_s={duration_s}"),
        *(word for name, value in said.items() for word in ("--backend-setting", f"{name}={value}")),
    ]


def register(
    engine: Sql, url: str, sha256: str, build: str = "v1", org: str = "acme", platform: str = "android"
) -> None:
    engine.rows("insert into qgjob.org (org_id, created_at) values (%s, now()) on conflict do nothing returning 1", org)
    engine.rows("insert into qgjob.build (org_id, app_version_id, created_at) values (%s, %s, now()) "
                "on conflict do nothing returning 1", org, build)  # fmt: skip
    engine.rows("insert into qgjob.artifact (org_id, app_version_id, platform, url, sha256, app_id, created_at) "
                "values (%s, %s, %s, %s, %s, 'com.example.shop', now()) returning 1",
                org, build, platform, url, sha256)  # fmt: skip


def app(engine: Sql, folder: Path, content: str = "shop 1.0", **options: str) -> Path:
    """A build of that content, registered."""
    path = folder / "shop.apk"
    path.write_text(content)
    register(engine, path.as_uri(), hashlib.sha256(content.encode()).hexdigest(), **options)
    return path


def stored(engine: Sql) -> str:
    """All that the database holds."""
    tables = engine.rows(
        "select format('%I.%I', schemaname, tablename) as name from pg_tables where schemaname in ('qgjob', 'pgmq')"
    )
    return "\n".join(str(engine.rows(f"select t::text from {table.name} as t")) for table in tables)


class Here(NamedTuple):
    """A worker of one slot inside of the test: what its loop would call."""

    engine: SqlEngine
    backend: BrowserStackParallels
    device_id: int

    async def claim(self) -> Batch:
        batch = await self.engine.claim(self.device_id, 20)
        assert batch
        return batch


@asynccontextmanager
async def here(url: str, cloud: BrowserStack, name: str = "cloud", **settings: Any) -> AsyncIterator[Here]:
    async with AsyncExitStack() as stack:
        db = await stack.enter_async_context(sql.open_pool(url, size=4))
        engine = SqlEngine(db)
        with patch.dict(os.environ, cloud.environment):
            backend = BrowserStackParallels(
                BackendOptions(name, "browserstack", settings=cloud.settings | settings, ledger=engine)
            )
        stack.push_async_callback(backend.close)
        await engine.register_worker(name, "test", ["browserstack"], 30)
        slot = (await anext(backend.watch()))[0]
        device_id = await engine.register_device(slot.name, slot.target, slot.labels)
        yield Here(engine, backend, device_id)


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(60):
            await work()

    asyncio.run(limited())


def with_artifact(batch: Batch, **changes: Any) -> Batch:
    assert batch.artifact
    return msgspec.structs.replace(batch, artifact=msgspec.structs.replace(batch.artifact, **changes))
