"""Waiting for a run: long-polls until it ends, through outages of the server, at most until the timeout."""

import math
import time
from typing import Protocol

from qgjob.cli.progress import Progress
from qgjob.cli.verdict import ENDED
from qgjob.client import Client
from qgjob.errors import ClientError, Refused, TimedOut, Unavailable
from qgjob.models.jobs import Job
from qgjob.models.runs import Run
from qgjob.transport import pause_s

LONG_POLL_S = 25.0  # below the idle limits (30-60 s) of common proxies


def resume(run_id: int | str) -> str:
    return f"qgjob status --run-id={run_id} --watch"


class Attendant(Protocol):
    """Somebody who looks at every change of the run that is waited for, talks of it, and may have it cancelled."""

    def look(self, run: Run) -> None: ...
    def patience_s(self) -> float:
        """When they want to look again at the latest."""
        ...


class Outage:
    """Failures in a row while waiting: the first is said, the rest are sat out."""

    def __init__(self, client: Client, progress: Progress) -> None:
        self._client = client
        self._progress = progress
        self.failures = 0

    def sit_out(self, error: ClientError, *, at_most_s: float = math.inf) -> None:
        """Pause before the next try. A decision of the server (404, say) ends the waiting; what a proxy says in its
        place, where a server has answered before, decides nothing."""
        if not error.retryable and not (error.is_of_somebody_else and self._client.was_answered):
            raise error
        if self.failures == 0:
            self._progress.say(f"{error.message.rstrip('.')}; the run goes on, and so does the waiting")
        self.failures += 1
        time.sleep(min(pause_s(self.failures - 1, error.retry_after_s), at_most_s))

    def over(self) -> None:
        if self.failures:
            self._progress.say("the server answers again")
        self.failures = 0


def until_run_ends(
    client: Client,
    run_id: int,
    *,
    timeout_s: float,
    progress: Progress,
    client_timeout_s: int | None = None,
    attendant: Attendant | None = None,
) -> Run:
    """The finished run. Raises TimedOut, or Unavailable where the server was lost until then; the run itself is never
    touched. With `client_timeout_s` the server cancels it when this client is gone without a word."""
    deadline = time.monotonic() + timeout_s
    outage = Outage(client, progress)
    run: Run | None = None
    idle = 0
    while (left := deadline - time.monotonic()) > 0:
        wait_s = min(LONG_POLL_S, left, max(1.0, progress.silent_s())) if run else 0.0
        wait_s = min(wait_s, max(1.0, attendant.patience_s())) if attendant else wait_s
        asked = time.monotonic()
        try:
            fresh = client.changed_run(
                run_id, after_seq=run.seq if run else 0, wait_s=wait_s, client_timeout_s=client_timeout_s
            )
            if attendant and fresh.status not in ENDED:
                attendant.look(fresh)
        except (Refused, Unavailable) as error:
            outage.sit_out(error, at_most_s=left)
            continue
        outage.over()
        progress.show(fresh)
        if fresh.status in ENDED:
            return fresh
        # A server that answers at once without news (it is shutting down, say) must not be asked in a tight loop.
        at_once = run is not None and fresh.seq == run.seq and time.monotonic() - asked < 1.0
        idle = idle + 1 if at_once else 0
        # A run of thousands of jobs changes all the time: news of it are worth having about once a second.
        time.sleep(min(10.0, idle, left) if idle else min(1.0, fresh.total / 1000, left))
        run = fresh
    if outage.failures:  # it may be back since the last pause began
        try:
            fresh = client.changed_run(run_id, after_seq=0, wait_s=0, client_timeout_s=client_timeout_s)
        except (Refused, Unavailable):
            raise Unavailable(
                f"the server was lost, and did not come back until the timeout; run {run_id} may go on",
                hint=f"wait on: {resume(run_id)}",
                code="server_lost",
                run_id=run_id,
            ) from None
        if fresh.status in ENDED:
            progress.show(fresh)
            return fresh
    raise TimedOut(
        f"run {run_id} did not end within the timeout; it goes on",
        hint=f"wait on: {resume(run_id)} · stop it: qgjob cancel --run-id={run_id}",
        code="timed_out",
        run_id=run_id,
    )


def until_job_ends(client: Client, job_id: str, *, progress: Progress, attendant: Attendant) -> Job:
    """The finished job. It wakes up with its run, which is what the server can wait for."""
    outage = Outage(client, progress)
    seq = 0
    while True:
        try:
            job = client.job(job_id)
            if job.status in ENDED:
                return job
            asked = time.monotonic()
            wait_s = min(LONG_POLL_S, max(1.0, attendant.patience_s())) if seq else 0
            run = client.changed_run(job.run_id, after_seq=seq, wait_s=wait_s)
            if job.status == "pending":
                attendant.look(run)
        except (Refused, Unavailable) as error:
            outage.sit_out(error)
            continue
        outage.over()
        progress.show(run)
        if run.status in ENDED or (run.seq == seq and time.monotonic() - asked < 1.0):
            time.sleep(1.0)
        seq = run.seq
