"""`qgjob demo`: a sample suite through the real thing (PostgreSQL, API, workers, CLI), then gone without a trace."""

import shutil
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import httpx
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from qgjob import postgres, services
from qgjob.children import CannotRun, Child
from qgjob.cli import output
from qgjob.errors import Exit
from qgjob.models.jobs import Job, JobPage
from qgjob.models.runs import Run, RunPage

ORG = "demo"
BUILDS = ("v1.0.0", "v1.1.0")
TESTS = "tests/*.spec.js"
LIMIT_S = 180


def demo() -> int:
    """Run the samples, show what happened, end. The exit code: 0 when everything went as it should."""
    talk = Console(stderr=True, highlight=False)
    return services.guarded(lambda: _run(talk), talk, stopped=Exit.INTERRUPTED)


def _run(talk: Console) -> int:
    services.checkout()
    with ExitStack() as stack:
        folder = stack.enter_context(postgres.temporary_folder())
        with talk.status("starting PostgreSQL") as status:

            def say(line: str) -> None:
                if line.startswith("note:") or not talk.is_terminal:
                    talk.print(line, style="dim", markup=False)
                status.update(line)

            database = postgres.supervised(folder / "postgres", durable=False)
            database_url, server = stack.enter_context(database)
            running = services.running(database_url, port=0, logs=folder / "logs", say=say)
            service = stack.enter_context(running)
        if not talk.is_terminal:
            talk.print(f"running the samples of {' and '.join(BUILDS)}", style="dim")
        submissions = {build: _submit(service, build, folder, stack) for build in BUILDS}
        with httpx.Client(base_url=service.url, timeout=10, trust_env=False) as client:
            _follow(client, service, server, submissions, talk)
            for build, submission in submissions.items():
                if submission.process.returncode != Exit.TEST_FAILED:
                    talk.print(
                        f"error: the run of {build} holds a test that fails, so qgjob submit should have ended with "
                        f"{Exit.TEST_FAILED}; it ended with {submission.process.returncode}:\n"
                        f"{submission.last_lines()}",
                        markup=False,
                    )
                    return Exit.BUG
            runs = sorted(_runs(client), key=lambda run: run.app_version_id)
            jobs = {run.run_id: _jobs(client, run) for run in runs}
    _report(runs, jobs, Console(highlight=False))
    return Exit.OK


def _submit(service: services.Services, build: str, folder: Path, stack: ExitStack) -> Child:
    """What a person would type, as a process of its own."""
    command = [sys.executable, "-m", "qgjob", "submit", f"--org-id={ORG}", f"--app-version-id={build}"]
    command += [f"--test={TESTS}", *(f"--target={target}" for target in services.TARGETS), "--retries=1", "--wait"]
    env = services.environment() | {"QGJOB_SERVER_URL": service.url, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    submission = Child(f"submit {build}", command, log=folder / f"{build}.log", env=env, cwd=service.project)
    stack.callback(submission.stop)
    return submission


def _follow(
    client: httpx.Client,
    service: services.Services,
    server: Child,
    submissions: Mapping[str, Child],
    talk: Console,
) -> None:
    """Show how far the runs are until the last submission ends."""
    deadline = time.monotonic() + LIMIT_S
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"))
    with Progress(*columns, console=talk, transient=True, disable=not talk.is_terminal) as progress:
        tasks = {build: progress.add_task(f"build {build}", total=None, note="") for build in submissions}
        while any(submission.running for submission in submissions.values()):
            service.check(server)
            if time.monotonic() > deadline:
                raise CannotRun(f"the demo did not end within {LIMIT_S} s")
            for run in _runs(client):
                task = tasks[run.app_version_id]
                done = run.completed + run.failed + run.cancelled
                progress.update(task, total=run.total, completed=done, note=_counts(run))
            time.sleep(0.1)


def _counts(run: Run) -> str:
    waiting = run.pending + run.queued
    counts = {"passed": run.completed, "failed": run.failed, "running": run.running, "waiting": waiting}
    return " · ".join(f"{count} {word}" for word, count in counts.items() if count)


def _runs(client: httpx.Client) -> list[Run]:
    answer = client.get("/runs", params={"org_id": ORG}).raise_for_status()
    return msgspec.json.decode(answer.content, type=RunPage).runs


def _jobs(client: httpx.Client, run: Run) -> list[Job]:
    answer = client.get("/jobs", params={"org_id": ORG, "run_id": run.run_id, "limit": 100}).raise_for_status()
    return msgspec.json.decode(answer.content, type=JobPage).jobs


def _report(runs: Sequence[Run], jobs: Mapping[int, list[Job]], out: Console) -> None:
    table = Table("build", "targets", box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for heading in ("passed", "failed", "flaky", "installs", "one per test", "saved"):
        table.add_column(heading, justify="right")
    for run in runs:
        targets = ", ".join(sorted({job.target for job in jobs[run.run_id]}))
        counts = [str(count) for count in (run.completed, run.failed, run.flaky, run.installs, run.attempts)]
        table.add_row(run.app_version_id, targets, *counts, f"{run.saved_s:.0f} s")
    out.print(table)
    out.print()
    every = [job for run in runs for job in jobs[run.run_id]]
    _name("failed", "red", [job for job in every if job.status == "failed"], out)
    _name("flaky", "yellow", [job for job in every if job.flaky], out)
    attempts, installs, saved = (
        sum(r.attempts for r in runs),
        sum(r.installs for r in runs),
        sum(r.saved_s for r in runs),
    )
    out.print(f"\n{attempts} test runs on {installs} installs: {saved:.0f} s of device time saved.", markup=False)
    qgjob = _typed()
    submit = f"submit --org-id={ORG} --app-version-id={BUILDS[0]} --test=tests/login.spec.js --wait"
    out.print("\nNext:")
    out.print(f"  {qgjob} dev  [dim]# the same, left running; then, in another terminal:", soft_wrap=True)
    out.print(f"  {qgjob} {submit}", soft_wrap=True)
    out.print(f"  {qgjob} stats", soft_wrap=True)


def _name(word: str, colour: str, jobs: Iterable[Job], out: Console) -> None:
    """Each spec once, with why, and where."""
    specs: dict[str, list[Job]] = {}
    for job in jobs:
        specs.setdefault(job.test_path, []).append(job)
    for test_path, same in sorted(specs.items()):
        row = Text.assemble((f"{word:<8}", colour), test_path, (f"  {len(same)}x", "dim"))
        message = next((job.message for job in same if job.message), None)
        if message:
            row.append(f"  {output.said(message)}", "dim")
        out.print(row, no_wrap=True, overflow="ellipsis")


def _typed() -> str:
    """How to call this program from here: by name, or by its place in an environment that is not activated."""
    if shutil.which("qgjob"):
        return "qgjob"
    program = Path(sys.executable).with_name("qgjob")
    return str(program.relative_to(Path.cwd()) if program.is_relative_to(Path.cwd()) else program)
