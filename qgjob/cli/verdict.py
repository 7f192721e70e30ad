"""What a finished run or job means: an exit code, and a summary that says why at a glance."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import msgspec

from qgjob.cli import output, words
from qgjob.cli.paging import page_of
from qgjob.client import Client
from qgjob.errors import Exit
from qgjob.models.jobs import Job
from qgjob.models.runs import Run
from qgjob.models.words import Status

ENDED = frozenset({"completed", "failed", "cancelled"})
NAMED_AT_MOST = 200


class Outcome(msgspec.Struct):
    """A finished run with the jobs worth naming."""

    run: Run
    not_passed: list[Job]
    flaky: list[Job]


def of_run(run: Run) -> Exit:
    """A failed test wins over a missing verdict. Nothing but passed tests, and at least one, is 0."""
    if run.failed > run.infrastructure:
        return Exit.TEST_FAILED
    if run.total == 0 or run.completed < run.total:
        return Exit.NO_VERDICT
    return Exit.OK


def of_job(job: Job) -> Exit:
    if job.status == "failed" and job.failure_kind != "infrastructure":
        return Exit.TEST_FAILED
    return Exit.OK if job.status == "completed" else Exit.NO_VERDICT


def outcome(client: Client, run: Run) -> Outcome:
    """The run with its failed, cancelled and flaky jobs, asked for only where the counts say that there are some."""
    not_passed = jobs_of(client, run, "failed", "cancelled") if run.failed + run.cancelled else []
    flaky = jobs_of(client, run, "completed", flaky=run.flaky) if run.flaky else []
    return Outcome(run, not_passed, flaky)


def jobs_of(client: Client, run: Run, *statuses: Status, flaky: int = 0) -> list[Job]:
    """The newest jobs of the run in these statuses; with `flaky`, so many flaky ones."""
    found = (job for job in each_job(client, run, *statuses) if not flaky or job.flaky)
    return list(islice(found, flaky or NAMED_AT_MOST))


def each_job(client: Client, run: Run, *statuses: Status) -> Iterator[Job]:
    """Page by page; without statuses, all jobs of the run."""
    cursor: int | None = None
    while True:
        params: list[tuple[str, str | int]] = [("org_id", run.org_id), ("run_id", run.run_id), ("limit", 100)]
        params += [("status", status) for status in statuses]
        page = client.jobs(page_of(params, cursor))
        yield from page.jobs
        cursor = page.next_cursor
        if cursor is None:
            return


def data(outcome: Outcome) -> dict[str, Any]:
    """For `--json`: the run as the API shows it, with its verdict and the jobs to look at."""
    verdict = of_run(outcome.run)
    return {
        **msgspec.structs.asdict(outcome.run),
        "verdict": {Exit.OK: "passed", Exit.TEST_FAILED: "failed"}.get(verdict, "no_verdict"),
        "exit_code": int(verdict),
        "not_passed": outcome.not_passed,
        "flaky_jobs": outcome.flaky,
    }


def summary(outcome: Outcome) -> str:
    run = outcome.run
    lines = [headline(run)]
    named = [("failed" if job.status == "failed" else "cancelled", job) for job in outcome.not_passed]
    named += [("flaky", job) for job in outcome.flaky]
    if named:
        rows = [
            (word, job.test_path, words.target(job.target, job.selector), f"job {job.job_id}", reason(job))
            for word, job in named
        ]
        lines += ["", output.table("RESULT TEST TARGET JOB WHY", rows), ""]
    unnamed = run.failed + run.cancelled - len(outcome.not_passed)
    if unnamed and len(outcome.not_passed) < NAMED_AT_MOST:  # they are not cancelled: other runs wait for them
        where = words.command("list", f"--run-id={run.run_id}")
        lines.append(f"{words.count(unnamed, 'job')} left to other runs: {where}")
    elif unnamed:
        flags = (f"--org-id={run.org_id}", f"--run-id={run.run_id}", "--status=failed", "--status=cancelled")
        lines.append(f"the rest: {words.command('list', *flags, '--limit=100')}")
    if run.attempts:
        one_each = f"{run.installs} for {words.count(run.attempts, 'attempt')}, instead of one each"
        lines.append(f"installs: {one_each} · saved {words.duration(max(0.0, run.saved_s))}")
    return "\n".join(lines)


def headline(run: Run) -> str:
    verdict = of_run(run)
    word = {Exit.OK: "passed", Exit.TEST_FAILED: "failed"}.get(verdict)
    word = word or ("was cancelled" if run.cancelled else "has no verdict")
    word = word if run.status in ENDED else f"is {run.status}"
    parts = [f"Run {run.run_id} {word}", words.count(run.total, "job"), f"{run.completed} passed"]
    if run.flaky:
        parts[-1] += f" ({run.flaky} flaky)"
    if run.failed > run.infrastructure:
        parts.append(f"{run.failed - run.infrastructure} failed")
    if run.infrastructure:
        parts.append(f"{run.infrastructure} lost to infrastructure")
    if run.cancelled:
        parts.append(f"{run.cancelled} cancelled")
    if run.finished_at is not None:
        parts.append(words.duration((run.finished_at - run.created_at).total_seconds()))
    return " · ".join(parts)


def reason(job: Job) -> str:
    """Failure kind and what the error says."""
    if job.flaky and job.status == "completed":
        return f"passed at attempt {job.attempts}"
    first = output.said(job.message or "")
    return ": ".join(part for part in (job.failure_kind, first) if part)
