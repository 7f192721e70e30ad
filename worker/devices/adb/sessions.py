"""WebDriver sessions of devices, kept for as long as a device serves the same build: batches of a group follow each
other there, and opening a session takes longer than many a test."""

from msgspec import Struct

from worker.batch import Batch
from worker.devices import Session, appium
from worker.devices.appium import AppiumServers
from worker.webdriver import WebDriver, WebDriverError


class _Held(Struct):
    """`key`: whose session it is, and of which build."""

    key: tuple[str, str]
    session: Session


class Sessions:
    """One at most for each device. Those that are kept end with their build, with their device, or with the worker."""

    def __init__(self, servers: AppiumServers) -> None:
        self._servers = servers
        self._held: dict[str, _Held] = {}

    async def open(self, batch: Batch, serial: str, app_id: str | None) -> Session:
        """The one that is kept, if it still answers, or a new one. Raises PrepareError."""
        held = self._held.get(batch.device)
        if held and held.key == _key(batch) and await _answers(held.session):
            return held.session
        await self.end(batch.device)
        session = await self._servers.open_session(batch.device, appium.android(serial, app_id), app_id)
        self._held[batch.device] = _Held(_key(batch), session)
        return session

    async def release(self, session: Session, *, failed: bool) -> None:
        """A batch is done with it. Never raises."""
        if failed:
            for device in [device for device, held in self._held.items() if held.session is session]:
                await self.end(device)

    async def end(self, device: str) -> None:
        """Never raises."""
        if held := self._held.pop(device, None):
            await self._servers.close_session(held.session)

    async def close(self) -> None:
        """End them all, and their servers."""
        for device in list(self._held):
            await self.end(device)
        await self._servers.close()


def _key(batch: Batch) -> tuple[str, str]:
    return batch.org_id, batch.build


async def _answers(session: Session) -> bool:
    try:
        await WebDriver(session.url, session.auth).ask(session.session_id)
    except WebDriverError:
        return False
    return True
