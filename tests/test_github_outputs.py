"""A GitHub Actions step that became `qgjob ci` has its outputs, whatever end it came to."""

import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from stand_in import Answer, StandIn, page, problem, qgjob, run, started, submitted

CI = ("ci", "--org-id=qualgent", "--app-version-id=v1", "--test=a")


def outputs(file: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in file.read_text().splitlines())


@pytest.mark.parametrize(
    ("ended", "conclusion"),
    [
        (run(completed=1), "passed"),
        (run("failed", failed=1), "failed"),
        (run("failed", failed=1, infrastructure=1), "infrastructure"),
        (run("cancelled", cancelled=1), "cancelled"),
        (run("cancelled", cancelled=1, lost_client=True), "cancelled"),
        (problem(403, "no"), "refused"),
    ],
)
def test_the_run_and_its_verdict_are_outputs(ended: dict[str, Any] | Answer, conclusion: str, tmp_path: Path) -> None:
    file = tmp_path / "outputs"
    file.write_text("before=1\n")
    with StandIn() as server:
        server.on("POST", "/runs", submitted(34))
        server.on("GET", "/runs/12", ended)
        server.on("GET", "/jobs", page())
        server.on("GET", "/runs/12/failures", [])
        qgjob(*CI, server=server, GITHUB_OUTPUT=str(file), GITHUB_ACTIONS="true")
    found = outputs(file)
    assert (found["before"], found["run-id"], found["conclusion"]) == ("1", "12", conclusion)
    assert found["url"] == f"{server.url}/runs/12"


@pytest.mark.parametrize(
    ("answer", "conclusion"), [(problem(422, "no"), "refused"), (problem(500, "oops"), "unavailable")]
)
def test_what_was_not_accepted_has_a_conclusion_and_no_run(answer: Answer, conclusion: str, tmp_path: Path) -> None:
    with StandIn() as server:
        server.on("POST", "/runs", answer)
        qgjob(*CI, server=server, GITHUB_OUTPUT=str(tmp_path / "outputs"), GITHUB_ACTIONS="true")
    assert (tmp_path / "outputs").read_text() == f"conclusion={conclusion}\n"


def test_a_wait_that_took_too_long_is_timed_out(tmp_path: Path) -> None:
    with StandIn() as server:
        server.on("POST", "/runs", submitted(34))
        server.on("GET", "/runs/12", run("running", running=1))
        server.on("POST", "/runs/12/detach", run("running", running=1))
        result = qgjob(
            *CI, "--timeout=1s", server=server, GITHUB_OUTPUT=str(tmp_path / "outputs"), GITHUB_ACTIONS="true"
        )
        assert server.asked("POST", "/runs/12/detach"), "or the server would take its client for lost"
    assert result.exit == 124
    assert outputs(tmp_path / "outputs")["conclusion"] == "timed_out"


def test_the_run_is_known_while_it_runs_and_a_signal_is_a_conclusion(tmp_path: Path) -> None:
    file = tmp_path / "outputs"
    with StandIn() as server:
        server.on("POST", "/runs", submitted(34))
        server.on("GET", "/runs/12", run("running", running=1))
        server.on("POST", "/runs/12/cancel", {"cancelled": 0, "stopping": 1})
        with started(*CI, server=server, GITHUB_OUTPUT=str(file), GITHUB_ACTIONS="true") as process:
            server.wait_for("GET", "/runs/12")
            assert outputs(file) == {"run-id": "12", "url": f"{server.url}/runs/12"}
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=30) == 130
        assert server.asked("POST", "/runs/12/cancel")
    assert outputs(file)["conclusion"] == "interrupted"


@pytest.mark.parametrize("choice", ["cancel", "detach"])
def test_a_run_whose_submission_was_cut_off_is_found_and_cancelled(tmp_path: Path, choice: str) -> None:
    file, never = tmp_path / "outputs", threading.Event()
    with StandIn() as server:
        server.on("POST", "/runs", Answer(after=never))
        server.on(
            "GET",
            "/runs",
            {"runs": [], "next_cursor": None},
            {"runs": [run("running", running=1)], "next_cursor": None},
        )
        server.on("GET", "/runs/12", run("cancelled", cancelled=1))
        server.on("GET", "/runs/12/failures", [])
        server.on("POST", "/runs/12/cancel", {"cancelled": 0, "stopping": 1})
        flags = (f"--on-cancel={choice}", "--idempotency-key=build-7")
        with started(*CI, *flags, server=server, GITHUB_OUTPUT=str(file), GITHUB_ACTIONS="true") as process:
            server.wait_for("POST", "/runs")
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=30) == 130
        never.set()
        asked = [dict(request.query) for request in server.asked("GET", "/runs")]
        assert len(server.asked("POST", "/runs/12/cancel")) == (choice == "cancel")
    assert outputs(file)["conclusion"] == "interrupted"
    assert outputs(file).get("run-id") == ("12" if choice == "cancel" else None)
    assert asked == [{"org_id": "qualgent", "idempotency_key": "build-7"}] * (2 if choice == "cancel" else 0)


def test_waiting_for_an_earlier_run_takes_from_the_time_that_there_is(tmp_path: Path) -> None:
    file, later = tmp_path / "outputs", threading.Event()
    before, after = run("running", running=1), run("failed", failed=1, seq=2)
    again = {**submitted(40).body, "run_id": 13}
    with StandIn() as server:
        server.on("GET", "/runs/12", before, before, Answer(body=after, after=later))
        server.on("GET", "/runs/12/unserved", [])
        server.on("POST", "/runs/12/retry", again)
        server.on("GET", "/runs/13", *({**each, "run_id": 13} for each in (before, run(completed=1, seq=2))))
        flags = ("--only-failed-of=12", "--timeout=10s")
        with started(*CI, *flags, server=server, GITHUB_OUTPUT=str(file), GITHUB_ACTIONS="true") as process:
            server.wait_for("GET", "/runs/12", times=3)
            assert outputs(file)["run-id"] == "12", "known while it is waited for"
            threading.Timer(2, later.set).start()
            assert process.wait(timeout=30) == 0
        waited = [int(dict(request.query)["wait"]) for request in server.asked("GET", "/runs/13")]
    assert max(waited) <= 8
    assert outputs(file)["run-id"] == "13"


@pytest.mark.parametrize(("earlier", "conclusion"), [("latest", "refused"), ("", "passed")])
def test_an_earlier_run_that_is_no_number_is_an_end_and_an_empty_variable_is_none(
    tmp_path: Path, earlier: str, conclusion: str
) -> None:
    file = tmp_path / "outputs"
    with StandIn() as server:
        server.on("POST", "/runs", submitted(34))
        server.on("GET", "/runs/12", run(completed=1))
        result = qgjob(*CI, server=server, GITHUB_OUTPUT=str(file), GITHUB_ACTIONS="true", QGJOB_ONLY_FAILED_OF=earlier)
        assert len(server.asked("POST", "/runs")) == (earlier == "")
    assert result.exit == (4 if earlier else 0), result.stderr
    assert outputs(file)["conclusion"] == conclusion


def test_outside_of_github_nothing_is_written_and_no_runner_is_commanded(tmp_path: Path) -> None:
    with StandIn() as server:
        server.on("POST", "/runs", submitted(34))
        server.on("GET", "/runs/12", run("failed", failed=1))
        server.on("GET", "/jobs", page())
        server.on("GET", "/runs/12/failures", [])
        result = qgjob(*CI, server=server, GITHUB_OUTPUT=str(tmp_path / "outputs"), GITHUB_ACTIONS="")
    assert result.exit == 1
    assert "::" not in result.stdout + result.stderr
    assert list(tmp_path.iterdir()) == []


def test_outputs_that_cannot_be_written_do_not_change_the_verdict(tmp_path: Path) -> None:
    with StandIn() as server:
        server.on("POST", "/runs", submitted(34))
        server.on("GET", "/runs/12", run(completed=1))
        result = qgjob(*CI, server=server, GITHUB_OUTPUT=str(tmp_path / "no" / "folder"), GITHUB_ACTIONS="true")
    assert result.exit == 0
    assert "warning: the outputs conclusion were not written" in result.stderr
