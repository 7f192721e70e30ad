"""The backend itself: a slot for each parallel of the plan, a session for each batch, and never more sessions than the
plan has, counted together with all other workers."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from worker.batch import Artifact, Batch, BatchJob, File, PrepareError
from worker.config import ConfigError
from worker.devices import DeviceSpec, Ledger, Options, Session
from worker.devices.browserstack.api import Api, ApiError
from worker.devices.browserstack.settings import Credentials, credentials, installs_again, settings_of
from worker.devices.browserstack.uploads import Uploads
from worker.webdriver import WebDriver, WebDriverError

log = logging.getLogger("worker")

PLAN_S = 300.0  # how often to ask whether the plan has changed
ANNOTATE_S = 5.0  # an annotation is not worth more
PROBE_S = 10.0
# Every slot is probed about once a minute; one answer is good for all of them, for requests are limited.
WELL_S = 30.0
# A session that is no longer wanted while it opens is waited for, so that it can be ended.
OPENING_GRACE_S = 60.0
# A session that is not ended takes a parallel until it has been idle for long enough: the hub is asked more than once.
END_PAUSES_S = (1.0, 2.0, 4.0, 0.0)
END_LIMIT_S = 60.0
UNKNOWN_APP = "BROWSERSTACK_INVALID_APP_URL"
NO_ROOM = (
    "BROWSERSTACK_TIER_LIMIT_EXCEEDED",
    "BROWSERSTACK_QUEUE_SIZE_EXCEEDED",
    "parallel tests are currently in use",
)


class _Open(Struct):
    """A session of a batch, and what became of its jobs."""

    batch: Batch
    session: Session
    app_url: str
    ended: int = 0
    failed: int = 0


class BrowserStackParallels:
    def __init__(self, options: Options) -> None:
        self._options = options
        self._settings = settings_of(options)
        self._credentials: Credentials = credentials()
        if options.ledger is None:
            raise ConfigError("backend browserstack needs a worker that can ask PostgreSQL about the account")
        self._ledger: Ledger = options.ledger
        self._api = Api(self._settings.api_url, self._credentials.auth)
        self._hub = WebDriver(self._settings.hub_url, self._credentials.auth)
        self._uploads = Uploads(self._api, self._ledger, self._credentials.account)
        self._open: dict[str, _Open] = {}
        self._probing = asyncio.Lock()
        self._well_until = 0.0
        self._leaving: set[asyncio.Task[None]] = set()

    async def watch(self) -> AsyncGenerator[list[DeviceSpec], None]:
        """Raises ConfigError where the cloud refuses the credentials at the start."""
        seen: int | None = None
        while True:
            slots = await self._slots(seen)
            if slots != seen:
                seen = slots
                yield [self._slot(number) for number in range(1, slots + 1)]
            await asyncio.sleep(PLAN_S)

    async def _slots(self, seen: int | None) -> int:
        try:
            allowed = (await self._api.plan()).team_parallel_sessions_max_allowed
        except ApiError as error:
            if error.blame == "config" and seen is None:
                raise ConfigError(str(error)) from None
            log.warning("%s", error)
            return self._options.devices if seen is None else seen  # each session is admitted by the plan anyway
        if allowed < self._options.devices and seen is None:
            log.warning("the plan allows %s parallel sessions, not %s", allowed, self._options.devices)
        return min(self._options.devices, allowed)

    def _slot(self, number: int) -> DeviceSpec:
        labels = self._settings.labels() | self._options.labels
        return DeviceSpec(f"{self._options.name}-{number}", "browserstack", labels, self._settings.max_session_s)

    def environment(self, batch: Batch) -> dict[str, str]:
        """Nothing: tests reach the device through their session."""
        return {}

    async def install(self, batch: Batch) -> None:
        await self._uploads.url_of(_artifact_of(batch))

    def require_sessions(self) -> None:
        """They are all that there is."""

    async def open_session(self, batch: Batch) -> Session:
        artifact = _artifact_of(batch)
        await self._end_left_over(batch.device)
        app_url = await self._uploads.url_of(artifact)
        await self._admit(batch)
        try:
            session = await self._start(batch, artifact, app_url)
        except _UnknownApp:
            await self._uploads.forget(artifact, app_url)
            app_url = await self._uploads.url_of(artifact)
            try:
                session = await self._start(batch, artifact, app_url)
            except _UnknownApp as error:
                raise PrepareError(f"BrowserStack does not know what was just uploaded: {error}", "provider") from None
        self._open[session.session_id] = _Open(batch, session, app_url)
        return session

    async def _admit(self, batch: Batch) -> None:
        """Waiting is PostgreSQL's job: where there is no room, the jobs go back to their group."""
        account = self._credentials.account
        known = await self._ledger.list_sessions(account)
        plan = await self._api.plan()
        allowed, running = plan.team_parallel_sessions_max_allowed, plan.parallel_sessions_running
        if not await self._ledger.admit_session(batch.lease, account, allowed, running + plan.queued_sessions, known):
            raise PrepareError(f"All {allowed} parallel sessions of the BrowserStack account are in use.", "provider")

    async def _start(self, batch: Batch, artifact: Artifact, app_url: str) -> Session:
        opening = asyncio.create_task(self._hub.open(self._settings.of_session(batch, app_url)))
        try:
            session_id, capabilities = await asyncio.shield(opening)
        except asyncio.CancelledError:
            # Leaving now would leave a session that nobody knows, and that runs until it has been idle for long enough.
            leaving = asyncio.create_task(self._end_when_open(opening))
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)
            await asyncio.wait({leaving}, timeout=OPENING_GRACE_S)
            raise
        except WebDriverError as error:
            raise _refusal(error) from None
        app_id = artifact.app_id or _app_id(capabilities)
        return Session(self._hub.url, session_id, _public(capabilities), app_id, self._credentials.auth)

    async def _end_when_open(self, opening: asyncio.Task[tuple[str, dict[str, Any]]]) -> None:
        with contextlib.suppress(WebDriverError):
            session_id, _ = await opening
            await self._end(session_id)

    async def _end(self, session_id: str) -> None:
        """Never raises."""
        why = f"no answer within {END_LIMIT_S:.0f} s"
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_LIMIT_S):
                for pause_s in END_PAUSES_S:
                    try:
                        await self._hub.close(session_id)
                        return
                    except WebDriverError as error:
                        if error.code == "invalid session id":
                            return  # it has ended by itself
                        why = str(error)
                    await asyncio.sleep(pause_s)
        log.warning("session %s was not ended: %s", session_id, why)

    async def _end_left_over(self, device: str) -> None:
        """A slot has one session at a time; one that its executor has not closed ends before the next opens."""
        for left in [held for held in self._open.values() if held.batch.device == device]:
            await self.close_session(left.session, failed=True)

    async def close_session(self, session: Session, *, failed: bool) -> str | None:
        await self._end(session.session_id)
        held = self._open.pop(session.session_id, None)  # only now: `close` ends it where this was cut off
        try:
            if held:
                reason = f"{held.failed} of {held.ended} specs failed" + (", not all were run" if failed else "")
                await self._api.mark(session.session_id, "failed" if failed or held.failed else "passed", reason)
            return (await self._api.session(session.session_id)).video_url
        except ApiError as error:
            log.warning("session %s: %s", session.session_id, error)
            return None

    async def begins(self, batch: Batch, job: BatchJob) -> None:
        await self._annotate(batch, f"{job.test_path}: attempt {job.attempt} begins")

    async def ended(self, batch: Batch, job: BatchJob, verdict: str) -> None:
        if held := self._held_by(batch):
            held.ended += 1
            held.failed += verdict != "completed"
            await self._annotate(batch, f"{job.test_path}: {verdict}")

    async def _annotate(self, batch: Batch, text: str) -> None:
        held = self._held_by(batch)
        if held is None:
            return
        what = {"action": "annotate", "arguments": {"data": text, "level": "info"}}
        try:
            async with asyncio.timeout(ANNOTATE_S):
                await self._hub.execute(
                    held.session.session_id, f"browserstack_executor: {msgspec.json.encode(what).decode()}"
                )
        except (WebDriverError, TimeoutError) as error:
            log.debug("session %s: not annotated: %s", held.session.session_id, error)

    async def reset(self, batch: Batch) -> None:
        held = self._held_by(batch)
        if batch.reset == "none" or held is None:
            return
        app_id = held.session.app_id
        if app_id is None:
            raise PrepareError(
                "The package name of the build is not known, so it cannot be reset; register it.", "config"
            )
        app = {"bundleId": app_id} if self._settings.platform == "ios" else {"appId": app_id}
        if installs_again(batch.reset, self._settings.platform):
            path = {"app": held.app_url} if self._settings.platform == "ios" else {"appPath": held.app_url}
            calls = [("removeApp", app), ("installApp", path), ("activateApp", app)]
        elif batch.reset == "clear":
            calls = [("clearApp", app), ("activateApp", app)]
        else:
            calls = [("terminateApp", app), ("activateApp", app)]
        try:
            for name, argument in calls:
                await self._hub.execute(held.session.session_id, f"mobile: {name}", argument)
        except WebDriverError as error:
            raise PrepareError(f"The app could not be reset: {error}") from None

    async def evidence(self, batch: Batch, folder: Path, since_s: float) -> list[File]:
        """The cloud keeps its own: the session's video and logs."""
        return []

    async def lost(self, device: str) -> str | None:
        """Whether its session still runs, for limits of the cloud end it in the middle of a test, which then has not
        failed. An API that does not answer says nothing about it."""
        session = next((held.session for held in self._open.values() if held.batch.device == device), None)
        if session is None:
            return None
        try:
            async with asyncio.timeout(PROBE_S):
                now = await self._api.session(session.session_id)
        except (ApiError, TimeoutError):
            return None
        if now.status in (None, "running"):
            return None
        return f"The BrowserStack session has ended: {now.reason or now.status}."

    async def probe(self, device: str) -> str | None:
        """Whether there is a cloud."""
        now = asyncio.get_running_loop().time
        try:
            async with asyncio.timeout(PROBE_S), self._probing:
                if now() > self._well_until:
                    await self._api.plan()
                    self._well_until = now() + WELL_S
        except (ApiError, TimeoutError) as error:
            return str(error) or "BrowserStack does not answer."
        return None

    async def close(self) -> None:
        left = [held.session for held in self._open.values()]
        await asyncio.gather(*(self.close_session(session, failed=True) for session in left))
        if self._leaving:
            await asyncio.wait(self._leaving, timeout=OPENING_GRACE_S)
        await self._api.close()

    def _held_by(self, batch: Batch) -> _Open | None:
        return next((held for held in self._open.values() if held.batch.lease == batch.lease), None)


class _UnknownApp(PrepareError):
    """The cloud does not know the app it was asked to install."""


def _refusal(error: WebDriverError) -> PrepareError:
    """What follows from a session that was not opened: a cloud without room or out of order costs no job anything."""
    words = str(error)
    if UNKNOWN_APP in words:
        return _UnknownApp(words, "app")
    if error.status in (401, 403) or "BROWSERSTACK_INVALID_USER" in words:
        return PrepareError("BrowserStack refuses the credentials; check the environment of this worker.", "config")
    if error.status == 429 or any(sign in words for sign in NO_ROOM):
        return PrepareError(f"BrowserStack has no room: {words}", "provider")
    if error.code == "unreachable":
        return PrepareError(f"BrowserStack's hub does not answer: {words}", "provider")
    return PrepareError(f"BrowserStack opened no session: {words}")


def _artifact_of(batch: Batch) -> Artifact:
    if batch.artifact is None:
        raise PrepareError(
            f"Build {batch.app_version_id} has no file that BrowserStack could install; register one for the platform.",
            "app",
        )
    return batch.artifact


def _app_id(capabilities: dict[str, Any]) -> str | None:
    for name in ("appPackage", "appium:appPackage", "bundleId", "appium:bundleId"):
        if capabilities.get(name):
            return str(capabilities[name])
    return None


def _public(capabilities: dict[str, Any]) -> dict[str, Any]:
    """Without what a hub may repeat of the request: options can carry credentials."""
    return {name: value for name, value in capabilities.items() if name not in ("bstack:options", "desired")}
