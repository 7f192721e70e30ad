"""Waiting for a run: long-polls until it ends, through outages of the server, at most until the timeout."""

import time

from qgjob.cli.progress import Progress
from qgjob.cli.verdict import ENDED
from qgjob.client import Client
from qgjob.errors import Refused, TimedOut, Unavailable
from qgjob.models import Job, Run
from qgjob.transport import pause_s

LONG_POLL_S = 25.0  # below the idle limits (30-60 s) of common proxies


def resume(run_id: int | str) -> str:
    return f"qgjob status --run-id={run_id} --watch"


def until_run_ends(client: Client, run_id: int, *, timeout_s: float, progress: Progress) -> Run:
    """The finished run. Raises TimedOut; the run itself is never touched."""
    deadline = time.monotonic() + timeout_s
    run: Run | None = None
    failures = idle = 0
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            state = "; its server cannot be reached" if failures else ""
            raise TimedOut(
                f"run {run_id} did not end within the timeout{state}; it goes on",
                hint=f"wait on: {resume(run_id)} · stop it: qgjob cancel --run-id={run_id}",
                code="timed_out",
                run_id=run_id,
            )
        wait_s = max(0.0, min(LONG_POLL_S, left, max(1.0, progress.silent_s()))) if run else 0.0
        asked = time.monotonic()
        try:
            fresh = client.changed_run(run_id, after_seq=run.seq if run else 0, wait_s=wait_s)
        except (Refused, Unavailable) as error:
            if not error.retryable:
                raise
            if failures == 0:
                progress.say(f"{error.message}; the run goes on, and so does the waiting")
            pause = pause_s(failures, error.retry_after_s)
            failures += 1
            time.sleep(min(pause, left))
            continue
        if failures:
            progress.say("the server answers again")
            failures = 0
        progress.show(fresh)
        if fresh.status in ENDED:
            return fresh
        # A server that answers at once without news (it is shutting down, say) must not be asked in a tight loop.
        unchanged_at_once = run is not None and fresh.seq == run.seq and time.monotonic() - asked < 1.0
        idle = idle + 1 if unchanged_at_once else 0
        # A run of thousands of jobs changes all the time: news of it are worth having about once a second.
        time.sleep(min(10.0, idle, left) if idle else min(1.0, fresh.total / 1000, left))
        run = fresh


def until_job_ends(client: Client, job_id: str, *, progress: Progress) -> Job:
    """The finished job. It wakes up with its run, which is what the server can wait for."""
    failures = 0
    after_seq = 0
    while True:
        try:
            job = client.job(job_id)
            if job.status in ENDED:
                return job
            asked = time.monotonic()
            run = client.changed_run(job.run_id, after_seq=after_seq, wait_s=LONG_POLL_S if after_seq else 0)
            progress.show(run)
            told_at_once = after_seq and run.seq <= after_seq and time.monotonic() - asked < 1.0
            after_seq = run.seq
            if told_at_once or run.status in ENDED:
                time.sleep(1.0)
            failures = 0
        except (Refused, Unavailable) as error:
            if not error.retryable:
                raise
            if failures == 0:
                progress.say(f"{error.message}; still waiting")
            time.sleep(pause_s(failures, error.retry_after_s))
            failures += 1
