"""A GitHub Actions step that became `qgjob submit` has its outputs, whatever end it came to."""

import signal
from pathlib import Path
from typing import Any

import pytest
from stand_in import Answer, StandIn, page, problem, qgjob, run, started, submitted

SUBMIT = ("submit", "--org-id=qualgent", "--app-version-id=v1", "--test=a", "--wait", "--github-output")


@pytest.mark.parametrize(
    ("ended", "conclusion"),
    [
        (run(completed=1), "passed"),
        (run("failed", failed=1), "failed"),
        (run("failed", failed=1, infrastructure=1), "no_verdict"),
        (run("cancelled", cancelled=1), "no_verdict"),
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
        qgjob(*SUBMIT, server=server, GITHUB_OUTPUT=str(file))
    assert file.read_text() == f"before=1\nrun-id=12\nconclusion={conclusion}\n"


@pytest.mark.parametrize(
    ("answer", "conclusion"), [(problem(422, "no"), "refused"), (problem(500, "oops"), "unavailable")]
)
def test_what_was_not_accepted_has_a_conclusion_and_no_run(answer: Answer, conclusion: str, tmp_path: Path) -> None:
    with StandIn() as server:
        server.on("POST", "/runs", answer)
        qgjob(*SUBMIT, server=server, GITHUB_OUTPUT=str(tmp_path / "outputs"))
    assert (tmp_path / "outputs").read_text() == f"conclusion={conclusion}\n"


def test_a_wait_that_took_too_long_is_timed_out(tmp_path: Path) -> None:
    with StandIn() as server:
        server.on("POST", "/runs", submitted(34))
        server.on("GET", "/runs/12", run("running", running=1))
        result = qgjob(*SUBMIT, "--timeout=1s", server=server, GITHUB_OUTPUT=str(tmp_path / "outputs"))
    assert result.exit == 124
    assert (tmp_path / "outputs").read_text() == "run-id=12\nconclusion=timed_out\n"


def test_the_run_is_known_while_it_runs_and_a_signal_is_a_conclusion(tmp_path: Path) -> None:
    file = tmp_path / "outputs"
    with StandIn() as server:
        server.on("POST", "/runs", submitted(34))
        server.on("GET", "/runs/12", run("running", running=1))
        server.on("POST", "/runs/12/cancel", {"cancelled": 0, "stopping": 1})
        with started(*SUBMIT, "--on-interrupt=cancel", server=server, GITHUB_OUTPUT=str(file)) as process:
            server.wait_for("GET", "/runs/12")
            assert file.read_text() == "run-id=12\n"
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=30) == 130
        assert server.asked("POST", "/runs/12/cancel")
    assert file.read_text() == "run-id=12\nconclusion=interrupted\n"


def test_outputs_are_refused_where_there_is_no_place_for_them() -> None:
    with StandIn() as server:
        result = qgjob(*SUBMIT, server=server, GITHUB_OUTPUT="")
        assert server.requests == []
    assert result.exit == 2
    assert "GITHUB_OUTPUT is not set" in result.stderr


def test_outputs_that_cannot_be_written_do_not_change_the_verdict(tmp_path: Path) -> None:
    with StandIn() as server:
        server.on("POST", "/runs", submitted(34))
        server.on("GET", "/runs/12", run(completed=1))
        result = qgjob(*SUBMIT, server=server, GITHUB_OUTPUT=str(tmp_path / "no" / "folder"))
    assert result.exit == 0
    assert "warning: the output conclusion was not written" in result.stderr
