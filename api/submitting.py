"""POST /jobs, many at a time: what comes while a submission is under way goes into the database together.

Nobody waits for others to come: who is alone is submitted at once. So a burst costs a fraction of as many transactions,
and one job as little as before.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import psycopg
from litestar.di import NamedDependency
from litestar.params import SkipValidation
from msgspec import Struct, field

import sql
from api.limits import RequestLimits
from api.parameters import Db
from qgjob.models.submission import JobSubmitted

MOST = 100  # in one transaction
SLOW_S = 0.1  # one that takes longer waits for somebody, and those who come next go past it
AT_ONCE = 4  # transactions on behalf of one


# Submitting.submit on behalf of who asks.
Submit = NamedDependency[SkipValidation[Callable[..., Awaitable[JobSubmitted]]]]


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


class Line(Struct, eq=False):
    """Those on whose behalf one transaction can be. `began_at`: the last one, by the clock of the loop."""

    waiting: deque[Waiting] = field(default_factory=deque[Waiting])
    tasks: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])
    began_at: float = 0.0


class Submitting:
    def __init__(self, requests: RequestLimits) -> None:
        self._requests = requests
        self._lines: dict[sql.OnBehalf, Line] = {}

    def on_behalf(self, db: Db) -> Callable[..., Awaitable[JobSubmitted]]:
        """The dependency `submit`: two that do not follow from one another would cost each request two tasks."""
        return partial(self.submit, db)

    async def submit(self, db: sql.OnBehalf, **arguments: Any) -> JobSubmitted:
        """Arguments as those of a submission in submit_jobs.sql. Raises what a call with this one would; TooMany."""
        self._requests.admit_submission(arguments["org_id"], db)
        loop = asyncio.get_running_loop()
        line = self._lines.setdefault(db, Line())
        waiting = Waiting(arguments, loop.create_future())
        line.waiting.append(waiting)
        if not line.tasks or (len(line.tasks) < AT_ONCE and loop.time() - line.began_at > SLOW_S):
            line.began_at = loop.time()
            line.tasks.add(asyncio.create_task(self._serve(db, line)))
        return await waiting.answer

    async def _serve(self, db: sql.OnBehalf, line: Line) -> None:
        while line.waiting:
            line.began_at = asyncio.get_running_loop().time()
            await self._submit(db, [line.waiting.popleft() for _ in range(min(len(line.waiting), MOST))])
        # Here, where nobody can come in between, and not when the task has ended.
        line.tasks = {task for task in line.tasks if task is not asyncio.current_task()}
        if not line.tasks:
            del self._lines[db]

    async def _submit(self, db: sql.OnBehalf, batch: list[Waiting]) -> None:
        """In halves where one is refused, so that the others are not submitted one by one for it."""
        submissions = sql.Json([waiting.arguments for waiting in batch])
        try:
            answers = await sql.many(db, JobSubmitted, "submit_jobs", submissions=submissions)
        except Exception as error:  # noqa: BLE001 - they must not wait forever, whatever it is
            refused = isinstance(error, psycopg.Error) and not isinstance(error, psycopg.OperationalError)
            if not refused or len(batch) == 1:  # one by one they would all wait for what is not available
                for waiting in batch:
                    waiting.fail(error)
                return
        else:
            for waiting, answer in zip(batch, answers, strict=True):
                waiting.succeed(answer)
            return
        half = len(batch) // 2
        await self._submit(db, batch[:half])
        await self._submit(db, batch[half:])
