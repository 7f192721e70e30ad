"""Waiting survives outages, ends in time, and leaves in good order when a signal comes."""

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stand_in import Answer, StandIn, dropped, environment, job, page, problem, qgjob, run, started, submitted

from qgjob.cli import settings, submit
from qgjob.cli.options import OnInterrupt
from qgjob.errors import Left, Signalled

SUBMIT = ("submit", "--org-id=qualgent", "--app-version-id=v1", "--test=a", "--wait")
AT_ONCE = {"retry-after": "0"}
NOTHING_NEW = run("running", seq=3, running=1, completed=1)
HTML = {"content-type": "text/html"}
XML = Answer(200, '<testsuites tests="2"/>', {"content-type": "text/xml"})


def test_each_change_is_a_line_and_is_asked_for_by_what_was_seen_last(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with StandIn() as server:
        server.on("POST", "/runs", submitted(34, 35))
        first, second = run("pending", seq=1, pending=2), run("running", seq=5, running=1, completed=1)
        server.on("GET", "/runs/12", first, second, run("completed", seq=9, completed=2))
        result = qgjob(*SUBMIT, server=server, cwd=tmp_path)
        polls = [dict(request.query) for request in server.asked("GET", "/runs/12")]
    assert result.exit == 0
    assert [poll["after_seq"] for poll in polls] == ["0", "1", "5"]
    assert polls[0]["wait"] == "0"
    assert 0 < int(polls[1]["wait"]) <= 25
    assert result.stderr.splitlines() == [
        "Submitted run 12 · 2 jobs",
        "run 12: 0 of 2 done · 2 waiting",
        "run 12: 1 of 2 done · 1 running",
        "run 12: 2 of 2 done",
    ]
    assert result.stdout.startswith("Run 12 passed · 2 jobs · 2 passed")


def test_an_outage_is_said_once_and_outlived() -> None:
    with StandIn() as server:
        server.on("POST", "/runs", submitted(34))
        down = problem(503, "restarting", headers=AT_ONCE)
        server.on("GET", "/runs/12", NOTHING_NEW, dropped(), down, down, run("failed", seq=4, failed=1))
        server.on("GET", "/jobs", page())
        result = qgjob(*SUBMIT, server=server)
    assert result.exit == 1
    assert result.stderr.count("so does the waiting") == 1
    assert result.stderr.count("the server answers again") == 1


def test_a_run_that_cannot_be_read_any_more_ends_the_waiting() -> None:
    with StandIn() as server:
        server.on("POST", "/runs", submitted(34))
        server.on("GET", "/runs/12", NOTHING_NEW, problem(404, "no run 12"))
        assert qgjob(*SUBMIT, server=server).exit == 4


@pytest.mark.parametrize(
    "between",
    [Answer(200, "<html>", HTML), Answer(403, "<html>", HTML), Answer(404, "<html>", HTML), Answer(302, "", HTML)],
)
def test_what_a_proxy_says_while_waiting_decides_nothing(between: Answer) -> None:
    with StandIn() as server:
        server.on("POST", "/runs", submitted(34))
        server.on("GET", "/runs/12", between, NOTHING_NEW, between, run(seq=4, completed=2))
        result = qgjob(*SUBMIT, server=server)
    assert result.exit == 0, result.stderr
    assert result.stderr.count("so does the waiting") == 2


def test_an_address_that_never_was_a_server_is_not_waited_for() -> None:
    with StandIn() as server:
        server.on("GET", "/runs/12", Answer(404, "<html>", HTML))
        assert qgjob("status", "--run-id=12", "--watch", server=server).exit == 4


def test_a_server_that_asks_for_more_time_than_there_is_is_looked_at_once_more() -> None:
    with StandIn() as server:
        server.on("POST", "/runs", submitted(34))
        down = problem(503, "restarting", headers={"retry-after": "3600"})
        server.on("GET", "/runs/12", NOTHING_NEW, down, run(seq=4, completed=2))
        assert qgjob(*SUBMIT, "--timeout=2s", server=server).exit == 0
        server.on("GET", "/runs/12", NOTHING_NEW, down, NOTHING_NEW)
        assert qgjob(*SUBMIT, "--timeout=2s", server=server).exit == 124
        server.on("GET", "/runs/12", NOTHING_NEW, down)
        assert qgjob(*SUBMIT, "--timeout=2s", server=server).exit == 5


def test_124_at_the_timeout_with_the_way_to_wait_on_and_the_results_so_far(tmp_path: Path) -> None:
    report = tmp_path / "out.xml"
    with StandIn() as server:
        server.on("POST", "/runs", submitted(34))
        server.on("GET", "/runs/12", NOTHING_NEW)
        server.on("GET", "/runs/12/junit.xml", XML)
        result = qgjob(*SUBMIT, "--timeout=1s", "--json", f"--junit-xml={report}", server=server)
        assert server.asked("POST", "/runs/12/cancel") == []
    assert result.exit == 124
    assert result.document["error"]["code"] == "timed_out"
    assert result.document["error"]["run_id"] == 12
    assert "qgjob status --run-id=12 --watch" in result.stderr
    assert report.read_text() == XML.body


def test_the_report_is_the_servers_and_implies_waiting(tmp_path: Path) -> None:
    report = tmp_path / "out.xml"
    with StandIn() as server:
        server.on("POST", "/runs", submitted(34))
        server.on("GET", "/runs/12", run(completed=1))
        server.on("GET", "/runs/12/junit.xml", XML)
        assert qgjob(*SUBMIT[:-1], f"--junit-xml={report}", server=server).exit == 0
    assert report.read_text() == XML.body
    assert list(tmp_path.iterdir()) == [report]


@pytest.mark.parametrize(("ended", "code"), [(run(completed=1), 5), (run("failed", failed=1), 1)])
def test_a_report_that_is_missing_spoils_a_success_but_hides_no_failure(
    tmp_path: Path, ended: dict[str, Any], code: int
) -> None:
    with StandIn() as server:
        server.on("POST", "/runs", submitted(34))
        server.on("GET", "/runs/12", ended)
        server.on("GET", "/jobs", page())
        server.on("GET", "/runs/12/junit.xml", problem(500, "no report"))
        result = qgjob(*SUBMIT, f"--junit-xml={tmp_path / 'out.xml'}", server=server)
    assert result.exit == code
    assert "no report" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("choice", ["cancel", "detach", None])
def test_a_signal_without_a_terminal_does_what_the_flag_says(
    number: signal.Signals, choice: str | None, tmp_path: Path
) -> None:
    report, never = tmp_path / "out.xml", threading.Event()
    with StandIn() as server:
        server.on("POST", "/runs", submitted(34))
        server.on("GET", "/runs/12", NOTHING_NEW, Answer(200, NOTHING_NEW, after=never))
        server.on("POST", "/runs/12/cancel", {"cancelled": 1, "stopping": 1})
        server.on("GET", "/runs/12/junit.xml", XML)
        flags = (f"--junit-xml={report}", *([f"--on-interrupt={choice}"] if choice else []))
        with started(*SUBMIT, *flags, server=server) as process:
            server.wait_for("GET", "/runs/12", times=2)
            process.send_signal(number)
            stdout, stderr = process.communicate(timeout=30)
        never.set()
        assert len(server.asked("POST", "/runs/12/cancel")) == (choice == "cancel")
    assert process.returncode == 128 + number
    assert stdout == ""
    assert ("run 12 is cancelled" if choice == "cancel" else "qgjob status --run-id=12 --watch") in stderr
    assert report.read_text() == XML.body


def test_a_server_that_hangs_does_not_keep_an_interrupted_client() -> None:
    never = threading.Event()
    with StandIn() as server:
        server.on("POST", "/runs", submitted(34))
        server.on("GET", "/runs/12", NOTHING_NEW, Answer(200, NOTHING_NEW, after=never))
        server.on("POST", "/runs/12/cancel", Answer(after=never))
        with started(*SUBMIT, "--on-interrupt=cancel", server=server) as process:
            server.wait_for("GET", "/runs/12", times=2)
            process.terminate()
            _, stderr = process.communicate(timeout=30)
        never.set()
    assert process.returncode == 143
    assert "could not be cancelled" in stderr
    assert "qgjob cancel --run-id=12" in stderr


def test_a_signal_while_submitting_cancels_what_the_server_made_of_it() -> None:
    never = threading.Event()
    with StandIn() as server:
        server.on("POST", "/runs", Answer(after=never))
        server.on("GET", "/runs", {"runs": [NOTHING_NEW], "next_cursor": None})
        server.on("POST", "/runs/12/cancel", {"cancelled": 1, "stopping": 1})
        with started(*SUBMIT, "--on-interrupt=cancel", server=server) as process:
            server.wait_for("POST", "/runs")
            process.send_signal(signal.SIGINT)
            _, stderr = process.communicate(timeout=30)
        never.set()
    assert process.returncode == 130
    assert "run 12 is cancelled" in stderr


def test_a_signal_between_submitting_and_waiting_cancels_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise Signalled(signal.SIGINT)

    monkeypatch.setattr(submit, "announce", interrupted)
    with StandIn() as server, contextlib.closing(settings.connect(server.url)) as client:
        monkeypatch.setattr(settings, "connect", lambda *_: client)
        server.on("POST", "/runs", submitted(34))
        server.on("POST", "/runs/12/cancel", {"cancelled": 1, "stopping": 0})
        with pytest.raises(Left, match="run 12 is cancelled"):
            submit.submit(
                org_id="o", app_version_id="v", test=["a"], wait=True, on_interrupt=OnInterrupt.cancel,
                server_url=server.url,
            )  # fmt: skip
        assert len(server.asked("POST", "/runs/12/cancel")) == 1


def test_a_signal_while_submitting_tells_the_key_that_finds_the_run_again() -> None:
    never = threading.Event()
    with StandIn() as server:
        server.on("POST", "/runs", Answer(after=never))
        with started(*SUBMIT, "--idempotency-key=build-7", server=server) as process:
            server.wait_for("POST", "/runs")
            process.send_signal(signal.SIGTERM)
            _, stderr = process.communicate(timeout=30)
        never.set()
    assert process.returncode == 143
    assert "--idempotency-key=build-7" in stderr


def test_an_interrupted_wait_with_json_is_one_document_that_names_the_run() -> None:
    never = threading.Event()
    with StandIn() as server:
        server.on("POST", "/runs", submitted(34))
        server.on("GET", "/runs/12", NOTHING_NEW, Answer(200, NOTHING_NEW, after=never))
        with started(*SUBMIT, "--json", server=server) as process:
            server.wait_for("GET", "/runs/12", times=2)
            process.send_signal(signal.SIGINT)
            stdout, _ = process.communicate(timeout=30)
        never.set()
    error = json.loads(stdout)["error"]
    assert (error["code"], error["run_id"]) == ("interrupted", 12)


def test_watching_a_run_ends_with_its_verdict_and_looking_at_it_with_0() -> None:
    with StandIn() as server:
        server.on("GET", "/runs/12", NOTHING_NEW, run("failed", seq=4, failed=2))
        server.on("GET", "/jobs", page(job("failed", failure_kind="test"), next_cursor=3), page(job("failed")))
        watched = qgjob("status", "--run-id=12", "--watch", server=server)
        assert [dict(request.query).get("cursor") for request in server.asked("GET", "/jobs")] == [None, "3"]
        looked_at = qgjob("status", "--run-id=12", server=server)
    assert (watched.exit, looked_at.exit) == (1, 0)
    assert watched.stdout.startswith("Run 12 failed")


@pytest.mark.parametrize(
    "command", [SUBMIT, ("retry", "--run-id=12", "--wait"), ("status", "--run-id=12", "--watch")], ids=lambda c: c[0]
)
def test_that_nobody_drives_a_device_is_said_once_and_ends_no_waiting(command: tuple[str, ...]) -> None:
    waiting = run("pending", pending=1, seq=3)
    with StandIn() as server:
        server.on("POST", "/runs", submitted(34))
        server.on("POST", "/runs/12/retry", submitted(34))
        server.on("GET", "/runs/12", *[waiting] * 6, run(completed=1, seq=9))
        server.on("GET", "/runs/12/unserved", [{"target": "browserstack", "selector": {}, "jobs": 1}])
        result = qgjob(*command, server=server)
        assert server.asked("POST", "/runs/12/cancel") == []
    assert result.exit == 0
    said = [line for line in result.stderr.splitlines() if "no live worker" in line]
    assert said == [
        "no live worker drives a device for browserstack (1 job); waiting for one. See: qgjob why --run-id=12"
    ]


@pytest.mark.parametrize(
    "command", [SUBMIT[:-1], ("ci", *SUBMIT[1:-1], "--detach"), ("retry", "--run-id=12"), ("retry", "--job-id=34")]
)
def test_who_does_not_wait_is_warned_that_nobody_drives_a_device(command: tuple[str, ...]) -> None:
    typo = {"target": "device", "selector": {"platform": "andriod"}, "jobs": 2, "nearest": {"platform": "android"}}
    bare = {"target": "device", "selector": {"lab": "a"}, "jobs": 1, "nearest": {}}
    with StandIn() as server:
        server.on("POST", "/runs", submitted(34))
        server.on("POST", "/runs/12/retry", submitted(34))
        server.on("POST", "/jobs/34/retry", {"job_id": 34, "run_id": 12, "status": "pending", "deduplicated": False})
        server.on("GET", "/runs/12/unserved", [typo, bare])
        warned = qgjob(*command, server=server)
        as_json = qgjob(*command, "--json", server=server)
        for nothing in (Answer(200, []), problem(404, "an older server"), dropped(), Answer(200, "no JSON")):
            server.on("GET", "/runs/12/unserved", nothing)
            quiet = qgjob(*command, "--quiet", server=server)
            assert (quiet.exit, quiet.stdout, quiet.stderr) == (0, "12\n", "")
    said = (
        "warning: no live worker drives a device for device:platform=andriod (the nearest has platform=android), "
        "device:lab=a (the nearest has no labels) (3 jobs). See: qgjob why --run-id=12\n"
    )
    assert (warned.exit, as_json.exit) == (0, 0)
    assert warned.stderr.endswith(said)
    assert as_json.document["schema"] == "qgjob.submitted/v1"
    assert as_json.stderr.endswith(said)


def test_of_many_devices_that_nobody_drives_some_are_named() -> None:
    labs = [{"target": "device", "selector": {"lab": str(lab)}, "jobs": 2, "nearest": None} for lab in range(8)]
    with StandIn() as server:
        server.on("POST", "/runs", submitted(34))
        server.on("GET", "/runs/12/unserved", labs)
        warned = qgjob(*SUBMIT[:-1], server=server).stderr
    assert "device:lab=0, device:lab=1, device:lab=2, device:lab=3, device:lab=4 and 3 more (16 jobs). See" in warned


def test_of_a_job_that_is_watched_only_its_own_devices_are_said_to_be_missing() -> None:
    other = {"target": "device", "selector": {}, "jobs": 7}
    with StandIn() as server:
        server.on("GET", "/jobs/34", *[job("pending", target="browserstack")] * 6, job(target="browserstack"))
        server.on("GET", "/runs/12", run("pending", pending=8, seq=3))
        server.on("GET", "/runs/12/unserved", [other, {"target": "browserstack", "selector": {}, "jobs": 1}])
        result = qgjob("status", "--job-id=34", "--watch", server=server)
    assert result.exit == 0
    assert "for browserstack (1 job); waiting for one. See: qgjob why --job-id=34" in result.stderr
    assert "for device" not in result.stderr


def test_a_signal_while_the_commands_load_ends_without_a_trace(tmp_path: Path) -> None:
    (tmp_path / "typer").mkdir()
    loading = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n"
    (tmp_path / "typer" / "__init__.py").write_text(loading)
    with StandIn() as server, started("list", server=server, PYTHONPATH=str(tmp_path)) as process:
        stdout, stderr = process.communicate(timeout=30)
    assert (process.returncode, stdout, stderr) == (130, "", "")


@pytest.mark.parametrize(
    ("command", "what", "asked"),
    [
        (("status", "--run-id=12", "--watch"), "run 12", "/runs/12"),
        (("status", "--job-id=34", "--watch"), "job 34", "/runs/12"),
        (("logs", "--job-id=34", "--follow"), "job 34", "/jobs/34/log/live"),
    ],
)
def test_a_signal_while_watching_says_that_it_goes_on(command: tuple[str, ...], what: str, asked: str) -> None:
    never = threading.Event()
    for flags in [()] if command[0] == "logs" else [(), ("--json",)]:
        with StandIn() as server:
            first = [NOTHING_NEW] if "--run-id=12" in command else []
            server.on("GET", "/runs/12", *first, Answer(200, NOTHING_NEW, after=never))
            server.on("GET", "/jobs/34", job("running"))
            server.on("GET", "/jobs/34/log/live", Answer(200, {}, after=never))
            with started(*command, *flags, server=server) as process:
                server.wait_for("GET", asked, times=1 + len(first))
                process.send_signal(signal.SIGINT)
                stdout, stderr = process.communicate(timeout=30)
            never.set()
        assert process.returncode == 130
        assert f"detached; {what} continues" in stderr
        assert f"hint: qgjob {' '.join(command)}\n" in stderr
        assert (json.loads(stdout)["error"]["code"] if flags else stdout) == ("interrupted" if flags else "")


def test_a_signal_outside_the_waiting_ends_at_once() -> None:
    never = threading.Event()
    with StandIn() as server:
        server.on("GET", "/workers", Answer(200, [], after=never))
        with started("workers", server=server) as process:
            server.wait_for("GET", "/workers")
            process.send_signal(signal.SIGINT)
            _, stderr = process.communicate(timeout=30)
        never.set()
    assert (process.returncode, stderr) == (130, "")


@pytest.mark.parametrize("presses", [1, 2])
def test_on_a_terminal_the_first_ctrl_c_detaches_and_the_second_cancels(presses: int) -> None:
    with waiting_on_a_terminal(*SUBMIT) as (server, process, terminal):
        process.send_signal(signal.SIGINT)
        seen = read_until(terminal, b"--watch")
        if presses == 2:
            process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
        seen += read_until(terminal, None)
        assert len(server.asked("POST", "/runs/12/cancel")) == presses - 1
    assert b"Detaching in 3 s; the run continues. Ctrl-C again cancels it." in seen
    assert b"qgjob status --run-id=12 --watch" in seen
    assert (b"is cancelled" if presses == 2 else b"run 12 continues") in seen


def test_a_step_of_ci_asks_nobody_on_a_terminal_either() -> None:
    with waiting_on_a_terminal("ci", *SUBMIT[1:-1]) as (server, process, terminal):
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
        seen = read_until(terminal, None)
        assert len(server.asked("POST", "/runs/12/cancel")) == 1
    assert b"Detaching" not in seen
    assert b"run 12 is cancelled" in seen


@contextlib.contextmanager
def waiting_on_a_terminal(*argv: str) -> Iterator[tuple[StandIn, subprocess.Popen[bytes], int]]:
    """A command that waits for run 12, and its terminal."""
    never = threading.Event()
    terminal, client_side = pty.openpty()
    with StandIn() as server:
        server.on("POST", "/runs", submitted(34))
        server.on("GET", "/runs/12", NOTHING_NEW, Answer(200, NOTHING_NEW, after=never))
        server.on("POST", "/runs/12/cancel", {"cancelled": 1, "stopping": 1})
        process = subprocess.Popen(
            [sys.executable, "-m", "qgjob", *argv],
            stdin=client_side,
            stderr=client_side,
            env=environment(server, {}),
            # Where the suite runs in the background of a script, it is ignored, and children inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        os.close(client_side)
        try:
            server.wait_for("GET", "/runs/12", times=2)
            yield server, process, terminal
        finally:
            process.kill()
            process.wait()
            os.close(terminal)
            never.set()


def read_until(terminal: int, mark: bytes | None) -> bytes:
    """What the terminal shows, up to the mark or to its end."""
    seen = b""
    while mark is None or mark not in seen:
        try:
            chunk = os.read(terminal, 4096)
        except OSError:  # how Linux says that the other side has closed
            break
        if not chunk:
            break
        seen += chunk
    return seen
