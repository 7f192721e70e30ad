"""`qgjob logs`: what a job's attempt printed, or those of a run's failed jobs; with --follow, while it prints it."""

import time
from typing import Annotated, Any

import typer
from msgspec.structs import asdict

from qgjob.cli import following, options, output, settings, verdict, words
from qgjob.cli.annotations import commands_stopped
from qgjob.cli.show import one_of
from qgjob.client import Client
from qgjob.errors import Exit, Usage
from qgjob.models.jobs import Job, Log

EPILOG = options.examples(
    "qgjob logs --job-id=34",
    "qgjob logs --run-id=12",
    "qgjob logs --job-id=34 --follow",
    "qgjob logs --job-id=34 --attempt=1 --raw > attempt.log",
)
# What the server keeps of an attempt: a log that is shorter is all of it.
LONGEST = 65_536
LOOK_AGAIN_S = 1.0


def logs(
    *,
    job_id: options.JobId = None,
    run_id: options.RunId = None,
    every: Annotated[bool, typer.Option("--all", help="Of a run, also of the jobs that did not fail.")] = False,
    attempt: Annotated[
        int | None, typer.Option("--attempt", min=1, metavar="N", help="Which attempt. Default: the latest.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Until the job ends, as it prints.")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="With the control sequences that the test printed.")] = False,
    as_json: options.Json = False,
    server_url: options.ServerUrl = None,
) -> int:
    """Print what a job's attempt printed, at most its last 64 KB; of a run, what the latest attempts of its failed jobs
    printed, each under its test."""
    job_id, run_id = one_of(job_id, run_id)
    if follow and (attempt is not None or as_json):
        raise Usage("--follow goes with neither --attempt nor --json")
    if job_id is None and (follow or attempt is not None):
        raise Usage("--follow and --attempt go with --job-id")
    if job_id is not None and every:
        raise Usage("--all goes with --run-id")
    client = settings.connect(server_url)
    if job_id is None:
        print_run(client, run_id or "", every=every, raw=raw, as_json=as_json)
        return Exit.OK
    if follow:
        again = f"qgjob logs --job-id={job_id} --follow"
        with following.only_watched(f"job {job_id}", run_id=None, again=again), commands_stopped():
            Follower(client, job_id, raw=raw).to_the_end()
        return Exit.OK
    log = client.log(job_id, attempt=attempt)
    if as_json:
        output.answer_json("log", log)
    elif log.log:
        with commands_stopped():
            output.answer_bytes(log.log.encode()) if raw else output.answer_as_printed(plain(log.log))
    else:
        output.say(f"attempt {log.attempt} of job {log.job_id} {silent(log)}")
    return Exit.OK


def print_run(client: Client, run_id: str, *, every: bool, raw: bool, as_json: bool) -> None:
    """One after the other, as they come: together they may be more than fits into memory."""
    run = client.run(run_id)
    wanted = verdict.each_job(client, run) if every else verdict.each_job(client, run, "failed")
    found = ((job, client.log(job.job_id)) for job in wanted if job.attempts)
    if as_json:
        output.answer_json("logs", [document(job, log) for job, log in found])
        return
    printed = False
    with commands_stopped():
        for job, log in found:
            output.answer_as_printed(("\n" if printed else "") + heading(job, log.attempt))
            text = log.log or f"({silent(log)})"
            output.answer_bytes(f"{text.rstrip()}\n".encode()) if raw else output.answer_as_printed(plain(text))
            printed = True
    if not printed:
        output.say(f"no job of run {run.run_id} has a log yet" if every else f"no job of run {run.run_id} has failed")


def silent(log: Log) -> str:
    """Why there is nothing to read, where that is known: a spec that does not exist prints nothing."""
    return "printed nothing" + (f": {output.said(log.message)}" if log.message else "")


def document(job: Job, log: Log) -> dict[str, Any]:
    of_job = ("test_path", "target", "selector", "status", "failure_kind")
    return {**asdict(log), **{name: getattr(job, name) for name in of_job}}


def heading(job: Job, attempt: int) -> str:
    parts = (
        f"{output.one_line(job.test_path)} on {words.target(job.target, job.selector)}",
        f"job {job.job_id}, attempt {attempt}",
        f"{job.status} ({job.failure_kind})" if job.failure_kind else job.status,
    )
    return f"==> {output.clean(' · '.join(parts))} <=="


class Follower:
    """Prints each character of the attempts from the current one on once, and whole lines only."""

    def __init__(self, client: Client, job_id: str, *, raw: bool) -> None:
        self._client = client
        self._job_id = job_id
        self._raw = raw
        self._attempt = 0
        self._length = 0  # how much of the attempt is known here
        self._end = ""  # the last of it, to find the place in a log whose start was dropped
        self._line = ""  # what waits for its newline
        self._whole = False  # whether all of the recorded log was printed
        self._said = ""

    def to_the_end(self) -> None:
        """Until the job has ended."""
        while True:
            live = self._client.live_log(self._job_id, attempt=self._attempt, after=self._length)
            self._talk(live.status, live.attempt)
            if live.attempt != self._attempt:
                for attempt in range(self._attempt, live.attempt) if self._attempt else ():
                    self._finish(attempt)
                self._begin(live.attempt)
            if live.status in ("queued", "running"):
                if live.length < self._length:  # it was handed back, and begins again
                    self._begin(live.attempt)
                else:
                    self._print(live.log, live.length)
            elif live.attempt:
                self._finish(live.attempt)
            if live.status in verdict.ENDED:
                return
            time.sleep(LOOK_AGAIN_S)

    def _begin(self, attempt: int) -> None:
        self._attempt, self._length, self._end, self._line, self._whole = attempt, 0, "", "", False

    def _finish(self, attempt: int) -> None:
        """The attempt has been recorded: print what has not been seen of it."""
        if attempt != self._attempt:
            self._begin(attempt)
        elif self._whole:
            return
        rest = unseen(self._client.log(self._job_id, attempt=attempt).log, self._length, self._end)
        self._print(rest, self._length + len(rest))
        if self._line:
            self._print("\n", self._length + 1)
        self._whole = True

    def _print(self, text: str, length: int) -> None:
        left_out = length - len(text) - self._length
        if left_out > 0:
            output.say(f"… {words.count(left_out, 'character')} left out …")
        self._length = length
        self._end = (self._end + text)[-2000:]
        lines, newline, self._line = (self._line + text).rpartition("\n")
        if newline:
            output.answer_bytes(f"{lines}\n".encode()) if self._raw else output.answer_as_printed(plain(lines) + "\n")

    def _talk(self, status: str, attempt: int) -> None:
        said = f"job {self._job_id} is {status}" + (f", attempt {attempt}" if status == "running" else "")
        if said != self._said:
            output.say(said)
            self._said = said


def unseen(whole: str, length: int, end: str) -> str:
    """What of a recorded log comes after its first `length` characters, the last of which are `end`."""
    if len(whole) < LONGEST:
        return whole[length:]
    place = whole.rfind(end) if end else -1
    return whole if place < 0 else whole[place + len(end) :]


def plain(text: str) -> str:
    """Progress bars redraw their line with a bare carriage return; here each state gets a line of its own."""
    return output.clean(text.replace("\r\n", "\n").replace("\r", "\n"))
