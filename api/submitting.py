"""POST /jobs, many at a time: what comes while a submission is under way goes into the database together.

Nobody waits for others to come: who is alone is submitted at once. So a burst costs a fraction of as many transactions,
and one job as little as before.
"""

import asyncio
from collections import defaultdict, deque
from typing import Any

import psycopg
from msgspec import Struct

import sql
from api.limits import RequestLimits
from qgjob.models import JobSubmitted

MOST = 100  # in one transaction
AT_ONCE = 2  # transactions of this kind


class Waiting(Struct, eq=False):
    """A request. Its client may have gone."""

    arguments: dict[str, Any]
    answer: asyncio.Future[JobSubmitted]

    def succeed(self, answer: JobSubmitted) -> None:
        if not self.answer.done():
            self.answer.set_result(answer)

    def fail(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class Submitting:
    """Those who show tokens of different organisations never share a transaction: it is on behalf of one of them."""

    def __init__(self, requests: RequestLimits) -> None:
        self._requests = requests
        self._waiting: defaultdict[sql.OnBehalf, deque[Waiting]] = defaultdict(deque)
        self._tasks: defaultdict[sql.OnBehalf, set[asyncio.Task[None]]] = defaultdict(set)

    async def submit(self, db: sql.OnBehalf, **arguments: Any) -> JobSubmitted:
        """Arguments as those of submit_job. Raises what a call of that would, and TooMany."""
        self._requests.admit_submission(arguments["org_id"], db)
        waiting = Waiting(arguments, asyncio.get_running_loop().create_future())
        self._waiting[db].append(waiting)
        tasks = self._tasks[db]
        if len(tasks) < AT_ONCE:
            task = asyncio.create_task(self._run(db))
            tasks.add(task)
            task.add_done_callback(lambda task: self._ended(db, task))
        return await waiting.answer

    async def _run(self, db: sql.OnBehalf) -> None:
        queue = self._waiting[db]
        while queue:
            batch = [queue.popleft() for _ in range(min(len(queue), MOST))]
            if len(batch) > 1 and await self._together(db, batch):
                continue
            for waiting in batch:
                await self._alone(db, waiting)

    async def _together(self, db: sql.OnBehalf, batch: list[Waiting]) -> bool:
        """False where one of them is refused: then each is to have its own answer."""
        submissions = sql.Json([waiting.arguments for waiting in batch])
        try:
            answers = await sql.many(db, JobSubmitted, "submit_jobs", submissions=submissions)
        except Exception as error:  # noqa: BLE001 - they must not wait forever, whatever it is
            if isinstance(error, psycopg.Error) and not isinstance(error, psycopg.OperationalError):
                return False
            for waiting in batch:  # one by one they would all wait for what is not available
                waiting.fail(error)
        else:
            for waiting, answer in zip(batch, answers, strict=True):
                waiting.succeed(answer)
        return True

    async def _alone(self, db: sql.OnBehalf, waiting: Waiting) -> None:
        arguments = waiting.arguments | {name: sql.Json(waiting.arguments[name]) for name in ("job", "labels")}
        try:
            waiting.succeed(await sql.one(db, JobSubmitted, "submit_job", **arguments))
        except Exception as error:  # noqa: BLE001 - handled as if it had been raised where they wait
            waiting.fail(error)

    def _ended(self, db: sql.OnBehalf, task: asyncio.Task[None]) -> None:
        self._tasks[db].discard(task)
        if not self._tasks[db] and not self._waiting[db]:
            del self._tasks[db], self._waiting[db]
