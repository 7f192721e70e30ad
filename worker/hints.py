"""Hints from PostgreSQL that save a worker waiting, over a LISTEN connection of its own. Without them it polls."""

import asyncio
from collections.abc import Callable

import psycopg

import sql
from qgjob.models.words import Target
from sql import claiming
from worker.protocol import troubles


class Hints:
    """`url` must reach PostgreSQL as a session; None: nothing is heard."""

    def __init__(self, url: str | None) -> None:
        self._url = url
        self._heard = False
        self.work = asyncio.Event()  # replaced with every hint, so that each is for those who waited before it
        self.beat = asyncio.Event()

    def poll_s(self) -> float:
        return claiming.poll_s(heard=self._heard)

    async def listen(self, worker_id: int, target: Target, watch: Callable[[int], None]) -> None:
        while self._url:
            try:
                async with await sql.listen(self._url, "qgjob_work", "qgjob_worker", "qgjob_log") as connection:
                    self._heard = True
                    self._wake()
                    async for notification in connection.notifies():
                        payload = notification.payload
                        if notification.channel == "qgjob_work" and payload == target:
                            self._wake()
                        elif notification.channel == "qgjob_worker" and payload == str(worker_id):
                            self.beat.set()
                        elif notification.channel == "qgjob_log" and payload.isascii() and payload.isdigit():
                            watch(int(payload))  # anybody may notify
            except psycopg.Error as error:
                troubles.warning("not listening, polling instead: %s", str(error).strip())
            self._heard = False
            await asyncio.sleep(1)

    def _wake(self) -> None:
        woken, self.work = self.work, asyncio.Event()
        woken.set()
