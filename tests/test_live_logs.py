"""Whoever follows a job sees what it prints while it prints it; where nobody looks, nothing is written."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine import Engine
from leaving_files import installed
from processes import CHECKOUT, Services, both_transports
from stand_in import Answer, StandIn, environment, job, qgjob

from qgjob.children import wait_until
from qgjob.cli.logs import LONGEST, unseen


@pytest.fixture
def project(services: Services, tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    services.api()
    services.worker("worker", "--executor", "leaving_files", "--project", str(folder), **installed(folder))
    return folder


class Following:
    def __init__(self, services: Services, folder: Path) -> None:
        self._printed = folder / "printed"
        with self._printed.open("w") as printed:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "qgjob", "logs", "--job-id=1", "--follow"],
                env=environment(None, {"QGJOB_SERVER_URL": services.url, "QGJOB_RETRY_FOR": "30"}),
                cwd=CHECKOUT, stdout=printed, stderr=subprocess.DEVNULL,
            )  # fmt: skip

    @property
    def printed(self) -> str:
        return self._printed.read_text()


@pytest.fixture
def following(services: Services, project: Path, tmp_path: Path) -> Iterator[Following]:
    services.qgjob("submit", "--org-id=acme", "--app-version-id=v1", "--test=a-slow.js")
    found = Following(services, tmp_path)
    yield found
    found.process.kill()
    found.process.wait()


@both_transports
def test_each_line_is_shown_while_the_job_runs_and_once(project: Path, following: Following, engine: Engine) -> None:
    shown = "begin a-slow.js\n"
    for number in range(3):
        assert wait_until(lambda so_far=shown: following.printed == so_far, 30), following.printed
        assert engine.value("select status from qgjob.job") == "running"
        (project / f"go-{number}").touch()
        shown += f"step {number}\n"
    assert following.process.wait(30) == 0
    assert following.printed == shown


@both_transports
def test_nothing_is_written_for_a_job_that_nobody_watches(services: Services, project: Path, engine: Engine) -> None:
    for number in range(3):
        (project / f"go-{number}").touch()
    services.qgjob("submit", "--org-id=acme", "--app-version-id=v1", "--test=a-slow.js", "--wait")
    assert engine.value("select count(*) from qgjob.live_log") == 0
    done = services.qgjob("logs", "--job-id=1", "--follow")
    assert done.stdout == "begin a-slow.js\nstep 0\nstep 1\nstep 2\n", "an ended job is shown as it is recorded"


def test_what_is_written_is_bounded_fenced_and_swept(engine: Engine) -> None:
    (job_id,) = engine.submit("a.js").job_ids
    lease = engine.claim(engine.drive()).lease
    engine.start(lease, job_id)
    live = engine.call("watch_log", job_id=job_id)
    assert (live.attempt, live.status, live.length, live.log) == (1, "running", 0, "")
    write = "write_live_log"
    for _ in range(2):  # the second is a repetition
        engine.call(write, lease=lease, job_id=job_id, after=0, log="first ")
    engine.call(write, lease=lease, job_id=job_id, after=6, log="second")
    engine.call(write, lease=lease + 1, job_id=job_id, after=12, log="of nobody")
    assert engine.call("watch_log", job_id=job_id).log == "first second"
    assert engine.call("watch_log", job_id=job_id, attempt=1, after=6).log == "second"
    engine.call(write, lease=lease, job_id=job_id, after=12, log="x" * 70_000)
    live = engine.call("watch_log", job_id=job_id)
    assert (live.length, len(live.log)) == (70_012, LONGEST)

    engine.move_clock(600)
    engine.call("housekeep")
    assert engine.value("select count(*) from qgjob.live_log") == 0
    engine.call(write, lease=lease, job_id=job_id, after=0, log="nobody asks")
    assert engine.value("select count(*) from qgjob.live_log") == 0


def test_many_watchers_cost_one_notification(engine: Engine) -> None:
    (job_id,) = engine.submit("a.js").job_ids
    engine.start(engine.claim(engine.drive()).lease, job_id)
    with engine.another() as worker:
        worker.connection.execute("listen qgjob_log")
        for _ in range(5):
            engine.call("watch_log", job_id=job_id)
        heard = [note.payload for note in worker.connection.notifies(timeout=0.5, stop_after=5)]
    assert heard == [str(job_id)]


def test_a_recorded_log_goes_on_where_the_live_one_ended() -> None:
    assert unseen("abcdef", 4, "cd") == "ef"
    whole = "".join(f"line {number}\n" for number in range(20_000))
    kept = whole[-LONGEST:]
    place = len(whole) - 100
    assert unseen(kept, place, whole[:place][-2000:]) == whole[place:]
    assert unseen(kept, 10, whole[:10]) == kept, "what was seen is no longer in it"


def test_the_next_attempt_follows_the_one_that_failed(tmp_path: Path) -> None:
    def live(status: str, attempt: int, log: str) -> dict[str, object]:
        return {"job_id": 34, "attempt": attempt, "status": status, "length": len(log), "log": log}

    with StandIn() as server:
        server.on("GET", "/jobs/34", job("running"))
        server.on(
            "GET", "/jobs/34/log/live",
            live("running", 1, "one\ntw"), live("pending", 1, ""),
            live("running", 2, "again\n"), live("completed", 2, ""),
        )  # fmt: skip
        server.on(
            "GET", "/jobs/34/log",
            {"job_id": 34, "attempt": 1, "log": "one\ntwo\n"},
            {"job_id": 34, "attempt": 2, "log": "again\n\x1b[2Jdone"},
        )  # fmt: skip
        result = qgjob("logs", "--job-id=34", "--follow", server=server)
    assert (result.exit, result.stdout) == (0, "one\ntwo\nagain\ndone\n")


def test_github_obeys_nothing_that_a_test_prints() -> None:
    with StandIn() as server:
        server.on("GET", "/jobs/34/log", Answer(body={"job_id": 34, "attempt": 1, "log": "::error::no\n::set-env x"}))
        plain = qgjob("logs", "--job-id=34", server=server)
        lines = qgjob("logs", "--job-id=34", server=server, GITHUB_ACTIONS="true").stdout.splitlines()
    assert plain.stdout == "::error::no\n::set-env x\n"
    stop, token = lines[0].rsplit("::", 1)
    assert (stop, lines[1:3], lines[-1]) == ("::stop-commands", ["::error::no", "::set-env x"], f"::{token}::")
    assert len(token) == 32


def test_following_goes_with_neither_an_attempt_nor_json() -> None:
    for flag in ("--attempt=1", "--json"):
        assert qgjob("logs", "--job-id=34", "--follow", flag).exit == 2
