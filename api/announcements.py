"""What PostgreSQL announces, heard over one LISTEN connection for all requests of this process that wait.

An announcement is a hint. After a lost connection everything may have changed, and who hears that looks for himself.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Literal

import psycopg

import sql
from qgjob import logs

troubles = logs.seldom("api.background")
Channel = Literal["qgjob_run", "qgjob_work", "qgjob_worker"]


class Announcements:
    """Who wants to hear what. Callbacks are given the payload, or None: announcements may have been missed.

    `url` is for LISTEN and must reach PostgreSQL as a session; None: nothing is heard, and who waits polls."""

    def __init__(self, url: str | None) -> None:
        self._url = url
        self._callbacks: defaultdict[Channel, list[Callable[[str | None], None]]] = defaultdict(list)
        self._waiting: defaultdict[tuple[Channel, str], set[asyncio.Event]] = defaultdict(set)
        self.heard = False
        self.leaving = False

    def tell(self, channel: Channel, callback: Callable[[str | None], None]) -> None:
        self._callbacks[channel].append(callback)

    @contextmanager
    def of(self, channel: Channel, *payloads: str) -> Generator[asyncio.Event]:
        """Set whenever one of these is announced, or may have been. Enter before looking, so that nothing falls in
        between."""
        event = asyncio.Event()
        for payload in payloads:
            self._waiting[channel, payload].add(event)
        try:
            yield event
        finally:
            for payload in payloads:
                self._waiting[channel, payload].discard(event)
                if not self._waiting[channel, payload]:
                    del self._waiting[channel, payload]

    def leave(self) -> None:
        """This process has been told to end: nobody waits any longer."""
        self.leaving = True
        self.wake_all()

    def wake_all(self) -> None:
        """Let everybody look for himself."""
        for events in self._waiting.values():
            for event in events:
                event.set()
        for callbacks in self._callbacks.values():
            for callback in callbacks:
                callback(None)

    async def listen(self) -> None:
        """Until cancelled; connects again for as long as it takes."""
        while self._url:
            try:
                async with await sql.listen(self._url, "qgjob_run", "qgjob_work", "qgjob_worker") as connection:
                    self.heard = True
                    self.wake_all()  # for what was announced while nobody listened
                    async for notification in connection.notifies():
                        self._hear(notification.channel, notification.payload)
            except psycopg.Error as error:
                troubles.warning("not listening, waiting requests poll: %s", str(error).strip())
            self.heard = False
            await asyncio.sleep(1)

    def _hear(self, channel: str, payload: str) -> None:
        for known in ("qgjob_run", "qgjob_work", "qgjob_worker"):
            if channel == known:
                for event in self._waiting.get((known, payload), ()):
                    event.set()
                for callback in self._callbacks[known]:
                    callback(payload)
