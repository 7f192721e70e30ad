"""What the running job of a batch has printed: kept for its result, and written as it comes while somebody watches."""

import asyncio
import logging
from contextlib import suppress

from qgjob.errors import Refused
from worker.protocol import Engine

log = logging.getLogger("worker")
LONGEST = 65_536
# A watcher asks again before this is over (watch_log.sql); who asks about a job that has not started waits for it.
WATCHED_S = 15
WRITE_EVERY_S = 1


class LiveLog:
    """One job at a time: `begin`, `add`, `end`."""

    def __init__(self, engine: Engine, lease: int) -> None:
        self._engine = engine
        self._lease = lease
        self._job_id: int | None = None
        self.text = ""
        self._length = 0
        self._written = 0
        self._watched: dict[int, float] = {}
        self._writing: asyncio.Task[None] | None = None

    def begin(self, job_id: int) -> None:
        self._job_id, self.text, self._length, self._written = job_id, "", 0, 0

    def add(self, text: str) -> None:
        self.text = (self.text + text)[-LONGEST:]
        self._length += len(text)

    def end(self) -> str:
        """All of it, at most the last LONGEST characters."""
        self._job_id = None
        return self.text

    def watch(self, job_id: int) -> None:
        """Somebody looks at this job of the batch, or waits for it to start."""
        self._watched[job_id] = asyncio.get_running_loop().time() + WATCHED_S
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())

    async def close(self) -> None:
        if self._writing:
            self._writing.cancel()
            with suppress(asyncio.CancelledError):
                await self._writing

    async def _write(self) -> None:
        now = asyncio.get_running_loop().time
        try:
            while any(until > now() for until in self._watched.values()):
                if self._job_id is not None and self._watched.get(self._job_id, 0) > now():
                    await self._write_news(self._job_id)
                await asyncio.sleep(WRITE_EVERY_S)
        except Refused as error:
            log.warning("batch %s: nobody can watch its jobs: %s", self._lease, error)

    async def _write_news(self, job_id: int) -> None:
        news = self.text[-(self._length - self._written) :] if self._length > self._written else ""
        if news:
            length = self._length  # it may grow, or another job begin, until the answer is there
            await self._engine.write_live_log(self._lease, job_id, length - len(news), news)
            if self._job_id == job_id:
                self._written = length
