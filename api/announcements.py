"""Waiting for a run costs nothing: one LISTEN connection wakes every request of this process that waits.

An announcement is a hint. Where it cannot be heard (no session connection, a pooler) requests look again by themselves.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Generator
from contextlib import contextmanager

import psycopg

import sql

log = logging.getLogger("api")


class Announcements:
    """Who waits for which run."""

    def __init__(self, url: str | None) -> None:
        self._url = url
        self._waiting: defaultdict[int, set[asyncio.Event]] = defaultdict(set)
        self.heard = False

    @property
    def look_again_s(self) -> float:
        """How long a waiting request trusts the announcements before it looks for itself."""
        return 10.0 if self.heard else 1.0

    @contextmanager
    def of(self, run_id: int) -> Generator[asyncio.Event]:
        """Set whenever this run may have changed. Enter before reading, so that no change falls in between."""
        event = asyncio.Event()
        self._waiting[run_id].add(event)
        try:
            yield event
        finally:
            self._waiting[run_id].discard(event)
            if not self._waiting[run_id]:
                del self._waiting[run_id]

    async def listen(self) -> None:
        """Until cancelled; connects again for as long as it takes."""
        while self._url:
            try:
                async with await sql.listen(self._url, "qgjob_run") as connection:
                    self.heard = True
                    self._wake(list(self._waiting))  # what was announced while nobody listened
                    async for notification in connection.notifies():
                        if notification.payload.isascii() and notification.payload.isdigit():  # anybody may notify
                            self._wake([int(notification.payload)])
            except psycopg.Error as error:
                log.warning("not listening, waiting requests poll: %s", str(error).strip())
            self.heard = False
            await asyncio.sleep(1)

    def _wake(self, run_ids: list[int]) -> None:
        for run_id in run_ids:
            for event in self._waiting.get(run_id, ()):
                event.set()
