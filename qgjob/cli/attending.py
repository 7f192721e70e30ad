"""While a run is waited for: enough failures, or a device that nobody drives, are reasons to stop it."""

import math
import time

from qgjob.cli import output, words
from qgjob.client import Client
from qgjob.errors import Refused
from qgjob.models import Run, Unserved

LOOK_EVERY_S = 10.0


class Attendant:
    """Cancels the run when one of the reasons is there; `note` then says which, and `no_device` if it was that."""

    def __init__(self, client: Client, *, max_failures: int | None, no_device_s: float) -> None:
        self._client = client
        self._max_failures = max_failures
        self._no_device_s = no_device_s
        self._since: float | None = None  # nobody drives what these jobs wait for
        self._said = ""
        self._looked = -math.inf
        self.note: str | None = None
        self.no_device = False

    def look(self, run: Run) -> None:
        if self.note is not None:
            return
        failed = run.failed - run.infrastructure
        if self._max_failures is not None and failed >= self._max_failures:
            self._stop(run, f"stopped after {words.count(failed, 'failure')} (--max-failures={self._max_failures})")
        elif run.pending == 0:
            self._since = None
        elif time.monotonic() - self._looked >= min(LOOK_EVERY_S, self._no_device_s):
            self._look_for_devices(run)

    def patience_s(self) -> float:
        if self._since is None or self.note is not None:
            return math.inf
        return max(0.0, self._since + self._no_device_s - time.monotonic())

    def _look_for_devices(self, run: Run) -> None:
        self._looked = time.monotonic()
        try:
            unserved = self._client.unserved(run.run_id)
        except Refused:  # an older server
            self._looked = math.inf
            return
        if not unserved:
            self._since = None
            return
        wanted = missing(unserved)
        self._since = self._since if self._since is not None else self._looked
        if wanted != self._said:
            output.say(f"{wanted}; waiting for one, at most {words.duration(self._no_device_s)}")
            self._said = wanted
        others = run.queued + run.running > 0 or sum(each.jobs for each in unserved) < run.pending
        if self._looked - self._since >= self._no_device_s and not others:
            self.no_device = True
            self._stop(run, f"{wanted}, and none came within {words.duration(self._no_device_s)}")

    def _stop(self, run: Run, why: str) -> None:
        self._client.cancel_run(run.run_id)
        self.note = why
        output.say(f"{why}; cancelling the rest of run {run.run_id}")


def missing(unserved: list[Unserved]) -> str:
    targets = ", ".join(words.target(each.target, each.selector) for each in unserved)
    waiting = words.count(sum(each.jobs for each in unserved), "job")
    return f"no live worker drives a device for {targets} ({waiting})"
