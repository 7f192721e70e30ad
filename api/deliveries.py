"""Every API process delivers to webhooks, each what it claims. What is due, who is asked how often and when again is
decided in SQL; a process that dies loses nothing but the claim of a minute."""

import asyncio
import logging
from datetime import datetime
from typing import Any

import psycopg
from msgspec import Struct
from psycopg_pool import PoolTimeout

import sql
from api.notifiers import NotDelivered, Notice, Notifier
from api.sending import AT_ONCE, Sender, WebhookSettings
from qgjob import logs

log = logging.getLogger("api")
troubles = logs.seldom("api.background")

SLOW_AT_ONCE = 16  # receivers that hang, however many, leave half of the room to those that are known to be quick
OF_ONE_ORG = 8  # and those of one organisation, which may all have been quick until now, three quarters to the others
LOOK_AGAIN_S = 1.0
LAST_WORDS_S = 5.0


class Taken(Struct):
    taken: int


class Claimed(Struct):
    """A delivery that this process is to try once."""

    delivery_id: int
    try_number: int
    webhook_id: int
    org_id: str
    url: str
    format: str
    secrets: list[str]
    message_id: str
    payload: dict[str, Any]
    slow: bool
    claimed_at: datetime


class Outcome(Struct, frozen=True):
    """`error` None: it has arrived."""

    status_code: int | None = None
    error: str | None = None
    retry_after_s: float | None = None


class Deliveries:
    """The task of one API process."""

    def __init__(
        self, db: sql.Database, sender: Sender, notifiers: dict[str, Notifier], settings: WebhookSettings
    ) -> None:
        self._db = db
        self._sender = sender
        self._notifiers = notifiers
        self._settings = settings
        self._trying: dict[asyncio.Task[None], Claimed] = {}
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled; then it claims nothing more, and what is on its way has a moment to arrive."""
        try:
            while True:
                self._changed.clear()
                try:
                    more = await self._step()
                except (psycopg.Error, PoolTimeout) as error:
                    troubles.warning("webhooks: %s", str(error).strip())
                    more = False
                except Exception:  # whatever it is, the others' deliveries must go on
                    log.exception("webhooks")
                    more = False
                if not more:
                    try:
                        async with asyncio.timeout(LOOK_AGAIN_S):
                            await self._changed.wait()
                    except TimeoutError:
                        pass
        finally:
            if self._trying:
                _, left = await asyncio.wait(self._trying, timeout=LAST_WORDS_S)
                for task in left:
                    task.cancel()
                await asyncio.gather(*left, return_exceptions=True)

    async def _step(self) -> bool:
        """Whether there may be more to do at once."""
        taken = (await sql.one(self._db, Taken, "take_events")).taken
        room = AT_ONCE - len(self._trying)
        if room <= 0:
            return taken > 0
        slow = SLOW_AT_ONCE - sum(claimed.slow for claimed in self._trying.values())
        claims = await sql.many(
            self._db,
            Claimed,
            "claim_deliveries",
            limit=room,
            slow=max(slow, 0),
            formats=list(self._notifiers),
            share=OF_ONE_ORG,
            orgs=[claimed.org_id for claimed in self._trying.values()],
        )
        for claimed in claims:
            task = asyncio.create_task(self._try(claimed))
            self._trying[task] = claimed
            task.add_done_callback(self._done)
        return taken > 0

    def _done(self, task: asyncio.Task[None]) -> None:
        del self._trying[task]
        self._changed.set()  # there is room again
        if not task.cancelled() and (error := task.exception()):
            log.error("a delivery could not be finished, and will be claimed again", exc_info=error)

    async def _try(self, claimed: Claimed) -> None:
        await self._finish(claimed, await self._outcome(claimed))
        # A name that hangs keeps a thread beyond the time limit. So it keeps its place, too: whoever has a place has a
        # thread, and is never given up while waiting for one.
        await self._sender.rest()

    async def _finish(self, claimed: Claimed, outcome: Outcome) -> None:
        for pause_s in (0.5, 1.0, 2.0, 4.0, 8.0, None):
            try:
                await sql.call(
                    self._db,
                    "finish_delivery",
                    delivery_id=claimed.delivery_id,
                    try_number=claimed.try_number,
                    status_code=outcome.status_code,
                    error=outcome.error,
                    retry_after_s=outcome.retry_after_s,
                )
                return
            except (psycopg.Error, PoolTimeout):
                if pause_s is None:
                    raise
                await asyncio.sleep(pause_s)

    async def _outcome(self, claimed: Claimed) -> Outcome:
        async def post(body: bytes, content_type: str = "application/json") -> int:
            return await self._sender.post(
                claimed.url, claimed.message_id, claimed.claimed_at, claimed.secrets, body, content_type
            )

        try:
            notice = Notice(
                message_id=claimed.message_id,
                org_id=claimed.org_id,
                webhook_id=claimed.webhook_id,
                url=claimed.url,
                event=claimed.payload,
                link=self._link(claimed.payload),
            )
            async with asyncio.timeout(self._settings.limit_s):
                return Outcome(await self._notifiers[claimed.format].notify(notice, post))
        except NotDelivered as why:
            return Outcome(why.status_code, str(why) or "It was not delivered.", why.retry_after_s)
        except TimeoutError:
            return Outcome(error=f"It did not answer within {self._settings.limit_s} s.")
        except Exception as error:  # a plug-in may do anything
            log.exception("the notifier %r failed", claimed.format)
            return Outcome(error=f"The notifier {claimed.format} failed: {type(error).__name__}.")

    def _link(self, event: dict[str, Any]) -> str | None:
        run = event.get("data", {}).get("run_id") or event.get("data", {}).get("job", {}).get("run_id")
        if self._settings.public_url is None or not isinstance(run, int):
            return None
        return f"{self._settings.public_url}/runs/{run}"
