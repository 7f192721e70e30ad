"""While a run is waited for: a device that nobody drives is said, and that or enough failures are reasons to stop."""

import math
import time

from qgjob.cli import output, words
from qgjob.client import Client
from qgjob.errors import ClientError, Refused
from qgjob.models.jobs import Job
from qgjob.models.runs import Run, Unserved

LOOK_EVERY_S = 10.0
# A run that was just submitted is often claimed by then, and a worker that restarts is back.
LOOK_AFTER_S = 3.0
MOST_NAMED = 5


class Lookout:
    """Says it where nobody drives a device that jobs of the run wait for: once, and nothing else comes of it. With
    `job`, for this one only."""

    def __init__(
        self,
        client: Client,
        *,
        job: Job | None = None,
        after_s: float = LOOK_AFTER_S,
        every_s: float = LOOK_EVERY_S,
        advice: str | None = None,
    ) -> None:
        self._client = client
        self._job = job
        self._every_s = every_s
        self._advice = advice
        self._first = time.monotonic() + after_s
        self._said = ""
        self.looked = -math.inf
        self.since: float | None = None  # nobody drives what these jobs wait for
        self.unserved: list[Unserved] = []

    def look(self, run: Run) -> None:
        now = time.monotonic()
        if run.pending == 0:
            self.since = None
        elif now >= self._first and now - self.looked >= self._every_s:
            self._look(run.run_id)

    def patience_s(self) -> float:
        """Until the first look; any later one can wait for the next poll."""
        left = self._first - time.monotonic()
        return left if left > 0 else math.inf

    def _look(self, run_id: int) -> None:
        self.looked = time.monotonic()
        try:
            self.unserved = self._client.unserved(run_id)
        except Refused:  # an older server
            self.looked, self.since = math.inf, None
            return
        if self._job is not None:
            wanted = (self._job.target, self._job.selector)
            self.unserved = [each for each in self.unserved if (each.target, each.selector) == wanted]
        if not self.unserved:
            self.since = None
            return
        self.since = self.since if self.since is not None else self.looked
        found = missing(self.unserved)
        if found != self._said:
            of = f"--run-id={run_id}" if self._job is None else f"--job-id={self._job.job_id}"
            output.say(f"{found}; waiting for one{self._advice or f'. See: qgjob why {of}'}")
            self._said = found


class Attendant:
    """Cancels the run when one of the reasons is there; `note` then says which, and `no_device` if it was that."""

    def __init__(self, client: Client, *, max_failures: int | None, no_device_s: float) -> None:
        self._client = client
        self._max_failures = max_failures
        self._no_device_s = no_device_s
        self._lookout = Lookout(
            client,
            after_s=0.0,
            every_s=min(LOOK_EVERY_S, no_device_s),
            advice=f", at most {words.duration(no_device_s)}",
        )
        self.note: str | None = None
        self.no_device = False

    def look(self, run: Run) -> None:
        if self.note is not None:
            return
        failed = run.failed - run.infrastructure
        if self._max_failures is not None and failed >= self._max_failures:
            self._stop(run, f"stopped after {words.count(failed, 'failure')} (--max-failures={self._max_failures})")
        else:
            before = self._lookout.looked
            self._lookout.look(run)
            if self._lookout.looked != before:
                self._stop_without_device(run)

    def patience_s(self) -> float:
        since = self._lookout.since
        if since is None or self.note is not None:
            return math.inf
        return max(0.0, since + self._no_device_s - time.monotonic())

    def _stop_without_device(self, run: Run) -> None:
        since, unserved = self._lookout.since, self._lookout.unserved
        if since is None or self._lookout.looked - since < self._no_device_s:
            return
        others = run.queued + run.running > 0 or sum(each.jobs for each in unserved) < run.pending
        if not others:
            self.no_device = True
            self._stop(run, f"{missing(unserved)}, and none came within {words.duration(self._no_device_s)}")

    def _stop(self, run: Run, why: str) -> None:
        self._client.cancel_run(run.run_id)
        self.note = why
        output.say(f"{why}; cancelling the rest of run {run.run_id}")


def warn(client: Client, run_id: int) -> None:
    """For who does not wait. What was submitted stays submitted, whatever comes of asking."""
    try:
        unserved = client.unserved(run_id)
    except ClientError:
        return
    if unserved:
        output.say(f"warning: {missing(unserved)}. See: qgjob why --run-id={run_id}")


def missing(unserved: list[Unserved]) -> str:
    targets = ", ".join(
        words.target(each.target, each.selector)
        + ("" if each.nearest is None else f" (the nearest has {words.pairs(each.nearest) or 'no labels'})")
        for each in unserved[:MOST_NAMED]
    )
    if len(unserved) > MOST_NAMED:
        targets += f" and {len(unserved) - MOST_NAMED} more"
    waiting = words.count(sum(each.jobs for each in unserved), "job")
    return f"no live worker drives a device for {targets} ({waiting})"
