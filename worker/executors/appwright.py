"""AppWright specs on one WebDriver session for the whole batch, with the build installed once.

By itself AppWright opens a session and reinstalls the app for every test. Here the worker opens the session, the specs
attach to it unmodified (qgjob-attach.cjs), and the app is reset between tests as the batch asks.
"""

import asyncio
import contextlib
import logging
import shutil
import tempfile
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from worker.batch import Batch, BatchJob, PrepareError
from worker.executors import Event, Finished, Log, Options, Prepared, Started, appwright_project
from worker.executors.appwright_attachment import Attachment
from worker.executors.playwright_runner import Run, Runner
from worker.executors.playwright_runner import Settings as RunnerSettings
from worker.printed import inert

log = logging.getLogger("worker")


class Settings(RunnerSettings, frozen=True, forbid_unknown_fields=True):
    """Playwright's, and `attach`: false leaves sessions and installations to AppWright, test by test."""

    attach: bool = True


class Place(Struct, frozen=True):
    """A prepared batch. Without an attachment AppWright runs as it is."""

    folder: Path
    attachment: Attachment | None = None


class AppWrightExecutor:
    """Runs the specs of a batch by the project's own AppWright, in Playwright's order: by file name."""

    def __init__(self, options: Options) -> None:
        settings = options.settings_as(Settings)
        project = options.project.resolve()
        settings = replace(settings, config=settings.config or appwright_project.configuration(project))
        self._backend = options.backend
        self._runner = Runner("appwright", project, settings)
        version = appwright_project.check_versions(project)
        self._as_is: str | None = None
        if not settings.attach:
            self._as_is = "The worker was told not to attach"
        elif missing := appwright_project.missing_names(project, self._runner.node):
            self._as_is = f"AppWright {version} lacks what attaching needs ({', '.join(missing)})"
        if self._as_is is None:
            options.backend.require_sessions()
        else:
            self._as_is += ", so AppWright opens a session and installs the build for every test."
            log.warning("appwright: %s", self._as_is)

    async def prepare(self, batch: Batch) -> Prepared:
        folder = Path(tempfile.mkdtemp(prefix="qgjob-"))
        try:
            if self._as_is:
                return Prepared(batch, Place(folder))
            session = await self._backend.open_session(batch)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        prepared = Prepared(
            batch, Place(folder, Attachment(self._backend, batch, session, folder)), session_id=session.session_id
        )
        try:
            await prepared.handle.attachment.listen()
        except BaseException:
            await self.cleanup(prepared, failed=True)
            raise
        return prepared

    async def run(
        self, prepared: Prepared, jobs: Sequence[BatchJob], stop: asyncio.Event
    ) -> AsyncGenerator[Event, None]:
        place: Place = prepared.handle
        environment = self._backend.environment(prepared.batch)
        if place.attachment is None:
            async for event in self._run_as_is(Run(prepared.batch, place.folder, environment, apart=True), jobs, stop):
                yield event
            return
        # What stopped a spec before, its time limit for instance, may have left the session hanging.
        if why := await place.attachment.check():
            raise PrepareError(f"The session was lost: {why}.")
        environment |= place.attachment.environment()
        attached = Run(prepared.batch, place.folder, environment, appwright_project.ATTACH)
        async with contextlib.aclosing(self._run_attached(place.attachment, attached, jobs, stop)) as events:
            async for event in events:
                yield event
        if place.attachment.lost and not stop.is_set():
            raise PrepareError(f"The session was lost: {place.attachment.lost}.")

    async def cleanup(self, prepared: Prepared, *, failed: bool) -> None:
        place: Place = prepared.handle
        if place.attachment:
            await place.attachment.close()
            failed = failed or place.attachment.lost is not None
            prepared.video_url = await self._backend.close_session(place.attachment.session, failed=failed)
        shutil.rmtree(place.folder, ignore_errors=True)

    async def _run_as_is(self, run: Run, jobs: Sequence[BatchJob], stop: asyncio.Event) -> AsyncGenerator[Event, None]:
        """Each spec apart, for AppWright 0.1.1 has one port for Appium and does not give it back between tests."""
        async with contextlib.aclosing(self._runner.events(run, jobs, stop)) as events:
            async for event in events:
                yield event
                if isinstance(event, Started):
                    yield Log(event.job_id, f"qgjob: {self._as_is}\n")

    async def _run_attached(
        self, attachment: Attachment, run: Run, jobs: Sequence[BatchJob], stop: asyncio.Event
    ) -> AsyncGenerator[Event, None]:
        """Until all are done, or the session is lost: then the job that ran has failed as infrastructure."""
        halt = asyncio.Event()
        attachment.on_loss = halt.set
        stopping = asyncio.create_task(_follow(stop, halt))
        running: int | None = None
        offset_s = 0.0
        try:
            async with contextlib.aclosing(self._runner.events(run, jobs, halt)) as events:
                async for event in events:
                    match event:
                        case Started(job_id):
                            running, offset_s = job_id, attachment.age_s
                        case Finished(failure_kind="test" | "timeout") if await attachment.check(event.message or ""):
                            break
                        case Finished():
                            running = None
                            event = replace(event, video_offset_s=offset_s)
                        case _:
                            pass
                    yield event
        finally:
            stopping.cancel()
        if attachment.lost and running is not None and not stop.is_set():
            message = inert(f"The session was lost while this spec ran: {attachment.lost}.")
            yield Finished(running, "failed", 0.0, "infrastructure", message, video_offset_s=offset_s)


async def _follow(stop: asyncio.Event, halt: asyncio.Event) -> None:
    await stop.wait()
    halt.set()
