"""A batch's one session, and what the specs that attach to it ask of the worker: an app in its first state.

They ask on a socket in the batch's own folder, so that only the worker knows how each kind of device is reset.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from worker.batch import Batch, PrepareError
from worker.devices import Backend, Session
from worker.executors import session_losses
from worker.webdriver import WebDriver, WebDriverError


class Attachment:
    """`lost`: why the session can no longer be used. `on_loss` is called when that is found while a spec runs."""

    def __init__(self, backend: Backend, batch: Batch, session: Session, folder: Path) -> None:
        self.session = session
        self.lost: str | None = None
        self.on_loss: Callable[[], None] = _nothing
        self._backend = backend
        self._batch = batch
        self._socket = folder / "session"
        self._opened = time.monotonic()
        self._server: asyncio.Server | None = None
        self._one_at_a_time = asyncio.Lock()
        self._asked: set[asyncio.Task[None]] = set()

    @property
    def age_s(self) -> float:
        """How long ago the session was opened."""
        return time.monotonic() - self._opened

    def environment(self) -> dict[str, str]:
        """What qgjob-attach.cjs needs."""
        session = self.session
        user, key = session.auth or (None, None)
        described = {
            "url": session.url,
            "sessionId": session.session_id,
            "capabilities": session.capabilities,
            "appId": session.app_id,
            "user": user,
            "key": key,
            "socket": str(self._socket),
        }
        return {"QGJOB_SESSION": json.dumps(described)}

    async def listen(self) -> None:
        self._server = await asyncio.start_unix_server(self._answer, self._socket)

    async def close(self) -> None:
        """No reset outlives this: the device may be another batch's next."""
        if self._server:
            self._server.close()
        for task in self._asked:
            task.cancel()
        await asyncio.gather(*self._asked, return_exceptions=True)

    async def check(self, said: str = "") -> str | None:
        """Why the session is lost, if it is. `said`: by a test that failed."""
        self.lost = self.lost or await session_losses.lost(self.session, self._batch, self._backend, said)
        return self.lost

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  a connection's callback is one
        self._asked.add(task)
        try:
            writer.write(json.dumps(await self._first_state()).encode())
            await writer.drain()
        except OSError:
            pass  # the spec was stopped meanwhile
        finally:
            self._asked.discard(task)
            writer.close()

    async def _first_state(self) -> dict[str, object]:
        """Before each test. The app is in front after it, whatever the reset did to it."""
        began = time.monotonic()
        async with self._one_at_a_time:
            if self.lost is None:
                self.lost = await _failure(self._reset)
            if self.lost is not None:
                self.on_loss()
                return {"error": self.lost}
        return {"resetS": time.monotonic() - began}

    async def _reset(self) -> None:
        if self._batch.reset != "none":
            await self._backend.reset(self._batch)
        if self.session.app_id is None:
            return
        ios = str(self.session.capabilities.get("platformName", "")).lower() == "ios"
        app = {"bundleId" if ios else "appId": self.session.app_id}
        driver = WebDriver(self.session.url, self.session.auth)
        await driver.execute(self.session.session_id, "mobile: activateApp", app)


async def _failure(step: Callable[[], Awaitable[None]]) -> str | None:
    try:
        await step()
    except PrepareError as error:
        return f"the app could not be reset: {error}"
    except WebDriverError as error:
        said = f"{error.code}: {error}"
        return session_losses.meaning_of(said) or f"the app could not be started: {said}"
    return None


def _nothing() -> None:
    pass
