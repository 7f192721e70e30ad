"""`qgjob replay`: a throw-away PostgreSQL with the real SQL functions, and `python -m worker.replay` on it."""

import signal
import sys
import time
from pathlib import Path
from typing import Literal

import msgspec

from qgjob import postgres, services
from qgjob.children import CannotRun, Child
from qgjob.cli import output
from qgjob.errors import ClientError, Exit, Unavailable, Usage


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to replay, as `qgjob.cli.replay` tells it. `history`: how often each test ran before, a replay for each."""

    report: Literal["workload", "batch-instances", "savings"]
    seed: int
    seeds: int
    install_s: float
    reset_s: float
    scale: float
    noise: float
    orgs: int
    history: tuple[int, ...]
    sizes: tuple[str, ...]
    durations: tuple[str, ...]
    devices: int | None = None
    groups: int | None = None
    load: float | None = None
    workload: str | None = None
    timeline: bool = False
    as_json: bool = False


def replay(plan: Plan) -> int:
    """The exit code; the report is on stdout then. Raises ClientError."""
    try:
        with services.stoppable():
            report = _run(plan)
    except services.Stopped:
        output.say("stopped")
        return Exit.INTERRUPTED
    except CannotRun as problem:
        error = Usage if problem.exit_code == Exit.USAGE else Unavailable
        raise error(str(problem)) from None
    if plan.as_json:
        output.answer_json("replay", msgspec.Raw(report))
    else:
        output.answer(report.decode())
    return Exit.OK


def _run(plan: Plan) -> bytes:
    root = services.checkout()
    with postgres.temporary_folder() as folder:
        output.say("starting PostgreSQL")
        # On the folder itself: its lock keeps others from taking the folder for a leftover.
        with postgres.running(folder, durable=False) as url:
            env = services.environment() | {"QGJOB_DATABASE_URL": url, "PYTHONUNBUFFERED": "1"}
            services.migrate(root, env, folder)
            report = folder / "report"
            command: list[str | Path] = [
                sys.executable,
                "-m",
                "worker.replay",
                msgspec.json.encode(plan).decode(),
                report,
            ]
            log = folder / "replay.log"
            code = _relayed(Child("replay", command, log=log, env=env, cwd=root), log)
            if code == Exit.OK:
                return report.read_bytes()
            if code == Exit.USAGE and report.exists():
                raise Usage(report.read_text())
            if report.exists():
                raise ClientError(report.read_text(), code="replay_broken")
            raise CannotRun("the replay ended by itself; its last lines are above")


def _relayed(child: Child, log: Path) -> int:
    """The child's exit code. What it says meanwhile goes to stderr."""
    try:
        with log.open() as lines:
            while True:
                running = child.running
                for line in lines:
                    output.say(line.rstrip("\n"))
                if not running:
                    break
                time.sleep(0.05)
    finally:
        code = child.stop((signal.SIGTERM, 2))
    return code
