"""stdout is the answer and nothing else; it never wraps, never moves a terminal, and is JSON when asked."""

import contextlib
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from stand_in import NOW, Answer, StandIn, environment, job, page, problem, qgjob, run, submitted

EVIL = "\x1b[2J\x1b]0;owned\x07\x9b31mred\x00\rover\u202etxt\x1b[0m"


def test_a_row_is_never_wrapped_when_piped() -> None:
    long = "tests/" + "deep/" * 60 + "one.spec.js"
    with StandIn() as server:
        server.on("GET", "/jobs", page(job("running", test_path=long)))
        result = qgjob("list", "--org-id=qualgent", "--status=running", "--limit=10", server=server)
        assert server.requests[0].query == [("org_id", "qualgent"), ("status", "running"), ("limit", "10")]
    heading, row = result.stdout.splitlines()
    assert heading.startswith("JOB  STATUS")
    assert long in row


def test_a_table_that_a_terminal_has_no_room_for_is_cut_in_the_middle_of_hashes_and_labels() -> None:
    build, labels = "0123456789" * 4, {"repository": "qualgent/shop", "ref": "refs/heads/main", "sha": "f" * 40}
    whole = f"ref=refs/heads/main,repository=qualgent/shop,sha={'f' * 40}"

    def on_a_terminal(columns: int, *arguments: str) -> str:
        ours, theirs = pty.openpty()
        command = [sys.executable, "-m", "qgjob", *arguments]
        with subprocess.Popen(command, stdout=theirs, env=environment(server, {"COLUMNS": str(columns)})) as process:
            os.close(theirs)
            printed = b""
            with contextlib.suppress(OSError):  # the other end is closed
                while piece := os.read(ours, 65_536):
                    printed += piece
        os.close(ours)
        assert process.returncode == 0
        return printed.decode().replace("\r\n", "\n")

    with StandIn() as server:
        server.on("GET", "/runs", {"runs": [run(app_version_id=build, labels=labels)], "next_cursor": None})
        piped = qgjob("runs", "--org-id=o", server=server).stdout
        assert build in piped
        assert whole in piped
        assert on_a_terminal(300, "runs", "--org-id=o") == piped
        narrow = on_a_terminal(80, "runs", "--org-id=o")
        as_json = on_a_terminal(80, "runs", "--org-id=o", "--json")
        server.on("GET", "/jobs", page(job(app_version_id=build)))
        assert " 0123456789…123456789 " in on_a_terminal(80, "list", "--org-id=o")
        assert on_a_terminal(80, "runs", "--org-id=o", "--quiet") == "12\n"
    assert " 0123456789…123456789 " in narrow
    assert f" {whole[:20]}…{whole[-19:]} " in narrow
    assert f'"{build}"' in as_json


def test_a_page_that_ends_early_says_the_command_for_the_next_one() -> None:
    with StandIn() as server:
        server.on("GET", "/jobs", page(job(), next_cursor=33))
        arguments = ("list", "--org-id=qualgent", "--status=failed", "--status=running", "--target=device", "--limit=1")
        result = qgjob(*arguments, server=server)
        assert f"more: qgjob {' '.join(arguments)} --cursor=33\n" in result.stderr
        shown = qgjob(*arguments, "--cursor=33", "--json", server=server)
        assert ("cursor", "33") in server.requests[-1].query
    assert shown.document["schema"] == "qgjob.jobs/v1"
    assert shown.document["data"]["next_cursor"] == 33
    assert shown.document["data"]["jobs"][0]["created_at"] == NOW


def test_since_is_sent_as_a_time_in_utc() -> None:
    with StandIn() as server:
        server.on("GET", "/jobs", page())
        result = qgjob("list", "--org-id=o", "--since=2026-01-31T13:00:00+01:00", server=server)
        asked = [request for request in server.requests if request.path == "/jobs"]
        assert dict(asked[0].query)["since"] == NOW
        assert qgjob("list", "--org-id=o", "--since=24h", server=server).exit == 0
        asked = [request for request in server.requests if request.path == "/jobs"]
        assert dict(asked[1].query)["since"].endswith("Z")
        wrong = qgjob("list", "--org-id=o", "--since=2026-13-45", server=server)
        assert (wrong.exit, "2026-11-22T14:30Z" in wrong.stderr) == (2, True)
    assert (result.stdout, result.stderr) == ("", "no job matches\n")


def test_what_a_server_says_cannot_move_the_terminal() -> None:
    with StandIn() as server:
        server.on("GET", "/jobs/34", job("failed", failure_kind="test", message=EVIL, test_path=EVIL, device=EVIL))
        server.on("GET", "/jobs", page(job("failed", message=EVIL, app_version_id=EVIL)))
        server.on("GET", "/stats", problem(409, EVIL, hint=EVIL))
        shown = qgjob("status", "--job-id=34", server=server)
        listed = qgjob("list", "--org-id=o", server=server)
        refused = qgjob("stats", server=server)
    for text in (shown.stdout, listed.stdout, refused.stderr):
        assert "redovertxt" in text
        assert not set("\x1b\x07\x9b\x00\r\u202e") & set(text)


def test_a_log_loses_its_control_sequences_unless_raw() -> None:
    with StandIn() as server:
        server.on("GET", "/jobs/34/log", {"job_id": 34, "attempt": 2, "log": "\x1b[31mred\x1b[0m\r\n\tnext"})
        clean = qgjob("logs", "--job-id=34", "--attempt=2", server=server)
        raw = qgjob("logs", "--job-id=34", "--raw", server=server)
        assert [request.query for request in server.requests] == [[("attempt", "2")], []]
    assert clean.stdout == "red\n\tnext\n"
    assert raw.stdout == "\x1b[31mred\x1b[0m\n\tnext"


def test_an_unfinished_sequence_takes_no_more_than_its_line() -> None:
    with StandIn() as server:
        server.on("GET", "/jobs/34/log", {"job_id": 34, "attempt": 1, "log": "\x1b]0;title\n10 %\r20 %\nthe end"})
        result = qgjob("logs", "--job-id=34", server=server)
    assert result.stdout == "\n10 %\n20 %\nthe end\n"


def test_a_reader_that_leaves_is_no_error() -> None:
    with StandIn() as server:
        server.on("GET", "/jobs", page(*[job(job_id=number) for number in range(2000)]))
        command = f"{sys.executable} -m qgjob list --org-id=o | head -1; exit ${{PIPESTATUS[0]}}"
        done = subprocess.run(
            ["bash", "-c", command], capture_output=True, check=False, env=environment(server, {}), timeout=60
        )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"JOB")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("ended", [run(completed=1), run("failed", failed=1)], ids=lambda document: document["status"])
def test_a_full_disk_is_said_in_a_line_and_hides_neither_the_run_nor_a_failure(ended: dict[str, Any]) -> None:
    def full(*arguments: str) -> tuple[int, str]:
        with open("/dev/full", "w") as stdout:  # noqa: PTH123
            command = [sys.executable, "-m", "qgjob", *arguments]
            done = subprocess.run(
                command, stdout=stdout, stderr=subprocess.PIPE, text=True, env=environment(server, {}), check=False
            )
        return done.returncode, done.stderr

    lost = "error: the answer could not be written to stdout: No space left on device\n"
    with StandIn() as server:
        server.on("GET", "/workers", [WORKER])
        server.on("POST", "/runs", submitted(34))
        server.on("GET", "/runs/12", ended)
        server.on("GET", "/jobs", page())
        assert full("workers") == full("workers", "--json") == (3, lost)
        submit = ("submit", "--org-id=o", "--app-version-id=v", "--test=a", "-q")
        for flags in ((), ("--json",)):
            assert full(*submit, *flags) == (3, f"{lost}hint: run 12 was submitted: qgjob status --run-id=12 --watch\n")
        code, said = full("submit", "--org-id=o", "--app-version-id=v", "--test=a", "--wait")
        assert (code, lost in said) == (3 if ended["completed"] else 1, True)


def test_a_stream_that_cannot_encode_a_name_still_gets_an_answer() -> None:
    with StandIn() as server:
        server.on("GET", "/jobs/34", job(test_path="tests/größe.spec.js"))
        result = qgjob("status", "--job-id=34", server=server, PYTHONIOENCODING="ascii")
    assert result.exit == 0
    assert "gr\\xf6\\xdfe" in result.stdout


def test_a_job_shows_its_attempts_when_there_were_several() -> None:
    attempt = {"job_id": 34, "device": "d-1", "worker": "w", "started_at": NOW, "ended_at": NOW, "duration_s": 4.2}
    first = {**attempt, "number": 1, "status": "failed", "failure_kind": "test", "message": "boom", "tests": []}
    second = {**attempt, "number": 2, "status": "completed", "failure_kind": None, "message": None, "tests": []}
    with StandIn() as server:
        server.on("GET", "/jobs/34", job(attempts=2, flaky=True))
        server.on("GET", "/jobs/34/attempts", [first, second])
        result = qgjob("status", "--job-id=34", server=server)
    assert "completed (flaky)" in result.stdout
    assert "boom" in result.stdout


def test_a_failure_says_what_was_expected_and_received_where_a_job_is_shown_too() -> None:
    message = "Error: expect(received).toBe(expected)\n\nExpected: 6.2\nReceived: 5.58"
    attempt = {"job_id": 34, "number": 1, "device": "d-1", "worker": "w", "tests": [], "duration_s": 2}
    attempt |= {"started_at": NOW, "ended_at": NOW, "status": "failed", "failure_kind": "test", "message": message}
    with StandIn() as server:
        server.on("GET", "/jobs/34", job("failed", failure_kind="test", message=message))
        server.on("GET", "/jobs/34/attempts", [attempt])
        result = qgjob("status", "--job-id=34", "--attempts", server=server)
    assert result.stdout.count("Expected: 6.2, Received: 5.58") == 2
    assert "expect(received)" not in result.stdout


def test_an_unfinished_run_shows_its_jobs() -> None:
    with StandIn() as server:
        server.on("GET", "/runs/12", run("running", running=1, pending=1))
        server.on("GET", "/jobs", page(job("running"), job("pending", job_id=35)))
        result = qgjob("status", "--run-id=12", server=server)
        as_json = qgjob("status", "--run-id=12", "--json", server=server)
    assert result.stdout.startswith("Run 12 running · build v1 · 0 of 2 done · 1 running · 1 waiting\n")
    assert as_json.document["data"]["status"] == "running"


GROUP = {
    "group_id": 1,
    "org_id": "o",
    "app_version_id": "v1",
    "target": "device",
    "selector": {"platform": "ios"},
    "reset": "clear",
    "priority": "high",
    "pending": 5,
    "queued": 1,
    "running": 1,
    "devices": 2,
    "oldest_at": NOW,
    "grouped_by": {},
}
WORKER = {
    "worker_id": 3,
    "name": "lab-1",
    "version": "0.1.0",
    "status": "draining",
    "targets": ["device"],
    "devices": 2,
    "started_at": NOW,
    "seen_at": NOW,
    "org_ids": None,
}
DEVICE = {
    "device_id": 7,
    "name": "pixel",
    "target": "device",
    "labels": {"platform": "android"},
    "worker": "lab-1",
    "status": "busy",
    "installed_build": "v1",
    "epoch": 4,
    "quarantined_at": None,
    "quarantined_by": None,
    "quarantine_reason": None,
    "strikes": 0,
    "org_ids": None,
}
STATS = {
    "org_id": None,
    **dict.fromkeys(("runs", "jobs", "pending", "queued", "running", "completed", "failed", "cancelled", "flaky"), 1),
    "pass_rate": 0.975,
    "attempts": 9,
    "installs": 2,
    "installs_avoided": 7,
    "install_s": 31.5,
    "device_s": 4000.0,
    "saved_s": 217.0,
    "wait_p50_s": None,
    "wait_p95_s": None,
}


@pytest.mark.parametrize(
    ("command", "route", "document", "shown"),
    [
        (("groups", "--org-id=o"), ("GET", "/groups"), [GROUP], "device:platform=ios"),
        (("workers",), ("GET", "/workers"), [WORKER], "lab-1"),
        (("workers", "drain", "3"), ("POST", "/workers/3/drain"), WORKER, "Worker 3 (lab-1) is draining"),
        (("devices",), ("GET", "/devices"), [DEVICE], "platform=android"),
        (("stats",), ("GET", "/stats"), STATS, "97.5 %"),
        (
            ("cancel", "--job-id=34"),
            ("POST", "/jobs/34/cancel"),
            {"cancelled": 0, "stopping": 0, "abandoned": 0},
            "already ended",
        ),
        (
            ("cancel", "--run-id=12"),
            ("POST", "/runs/12/cancel"),
            {"cancelled": 0, "stopping": 0, "abandoned": 2},
            "Cancelled 0 jobs · 2 jobs left to other runs that wait for them",
        ),
    ],
)
def test_every_answer_reads_as_text_and_as_json(
    command: tuple[str, ...], route: tuple[str, str], document: Any, shown: str
) -> None:
    with StandIn() as server:
        server.on(*route, Answer(200, document))
        text = qgjob(*command, server=server)
        as_json = qgjob(*command, "--json", server=server)
    assert (text.exit, as_json.exit) == (0, 0)
    assert shown in text.stdout
    assert as_json.document["data"] == document


def test_devices_and_workers_are_found_by_their_names_too() -> None:
    ended, twice = (
        {**WORKER, "worker_id": 2, "status": "ended"},
        [{**WORKER, "name": "twin", "worker_id": n} for n in (4, 5)],
    )
    with StandIn() as server:
        server.on("GET", "/devices", [DEVICE])
        server.on("GET", "/workers", [ended, WORKER, *twice])
        server.on("POST", "/devices/7/quarantine", DEVICE)
        server.on("POST", "/devices/7/readmit", DEVICE)
        server.on("POST", "/workers/3/drain", WORKER)

        def code(*command: str) -> int:
            return qgjob(*command, server=server).exit

        assert code("devices", "quarantine", "pixel", "--reason=it swells") == 0
        assert code("devices", "readmit", "pixel") == code("workers", "drain", "lab-1") == 0
        assert code("devices", "readmit", "pixle") == code("workers", "drain", "lab-9") == 4
        assert code("workers", "drain", "twin") == 2


def test_an_empty_list_is_empty_on_stdout() -> None:
    with StandIn() as server:
        server.on("GET", "/workers", [])
        result = qgjob("workers", server=server)
    assert (result.exit, result.stdout) == (0, "")


def test_retrying_a_job_names_the_new_one() -> None:
    with StandIn() as server:
        answer = Answer(201, {"job_id": 40, "run_id": 13, "status": "pending", "deduplicated": False})
        server.on("POST", "/jobs/34/retry", answer)
        result = qgjob("retry", "--job-id=34", server=server)
    assert result.stdout == "Submitted run 13 · job 40\n"
