"""The exit code is the verdict, and the bad ends never look like one."""

from collections.abc import Iterator
from typing import Any

import pytest
import typer.main
from stand_in import Answer, Result, StandIn, dropped, job, page, problem, qgjob, run, submitted

from qgjob.cli import app


def waited(run: dict[str, Any], *jobs: dict[str, Any], arguments: tuple[str, ...] = ()) -> Result:
    with StandIn() as server:
        server.on("POST", "/runs", submitted(34))
        server.on("GET", "/runs/12", run)
        server.on("GET", "/jobs", page(*jobs))
        ids = ("--org-id=qualgent", "--app-version-id=v1.2.3")
        flags = ("--test=tests/checkout.spec.js", "--target=emulator", "--priority=high", "--wait")
        return qgjob("submit", *ids, *flags, *arguments, server=server)


@pytest.mark.parametrize(("group", "first"), [((), "submit"), (("orgs",), "orgs list"), (("trust",), "trust add")])
def test_a_group_without_a_command_says_how_to_begin(group: tuple[str, ...], first: str) -> None:
    said = qgjob(*group)
    assert (said.exit, said.stdout) == (2, "")
    assert said.stderr.endswith(f"error: no command given\nhint: qgjob {first} --help shows how to begin\n")


def test_0_when_every_test_passed_flaky_ones_too() -> None:
    result = waited(run(completed=2, flaky=1), job(flaky=True, attempts=2))
    assert result.exit == 0
    assert "2 passed (1 flaky)" in result.stdout
    assert "passed at attempt 2" in result.stdout


def test_1_when_a_test_failed_even_if_others_have_no_verdict() -> None:
    failed = job("failed", failure_kind="test", message="\n  expected 3 to be 4\nat line 7")
    lost = job("failed", job_id=35, failure_kind="infrastructure", message="device lost")
    result = waited(run("failed", completed=1, failed=2, infrastructure=1, cancelled=1), failed, lost)
    assert result.exit == 1
    assert "test: expected 3 to be 4" in result.stdout
    assert "infrastructure: device lost" in result.stdout


@pytest.mark.parametrize(
    "without_verdict",
    [
        run("failed", completed=1, failed=1, infrastructure=1),
        run("cancelled", completed=1, cancelled=1),
        run("cancelled", cancelled=2),
        run("completed", total=0),
    ],
)
def test_3_when_a_test_has_no_verdict_or_none_ran(without_verdict: dict[str, Any]) -> None:
    assert waited(without_verdict).exit == 3


def test_the_summary_compares_installs_with_one_per_attempt_and_says_the_time_saved() -> None:
    result = waited(run(completed=10, attempts=10, installs=2, saved_s=250.0))
    assert "installs: 2 for 10 attempts" in result.stdout
    assert "saved 4 min 10 s" in result.stdout


def test_the_answer_to_json_is_one_document_with_the_verdict() -> None:
    failed = job("failed", failure_kind="timeout")
    result = waited(run("failed", failed=1), failed, arguments=("--json",))
    assert result.exit == 1
    assert result.document["schema"] == "qgjob.run/v1"
    data = result.document["data"]
    assert (data["run_id"], data["verdict"], data["exit_code"]) == (12, "failed", 1)
    assert data["not_passed"][0]["failure_kind"] == "timeout"


def test_4_when_the_server_refuses_and_an_id_that_is_no_number_is_an_unknown_job() -> None:
    with StandIn() as server:
        result = qgjob("status", "--job-id=abc456", server=server)
        assert server.requests == []
    assert result.exit == 4
    assert result.stdout == ""
    assert (
        result.stderr == "error: there is no job 'abc456': the id of a job is a number from 1\nhint: see qgjob list\n"
    )


@pytest.mark.parametrize(
    ("command", "lists"),
    [
        (("status", "--job-id=2/attempts"), "qgjob list"),
        (("cancel", "--run-id=.."), "qgjob runs"),
        (("status", "--job-id=0"), "qgjob list"),
        (("status", "--job-id=99999999999999999999"), "qgjob list"),
        (("ci", "--test=a.js", "--only-failed-of=latest"), "qgjob runs"),
        (("token", "revoke", "ci"), "qgjob token list"),
        (("trust", "remove", "acme"), "qgjob trust list"),
    ],
)
def test_what_is_no_id_is_not_sent_and_the_command_that_lists_them_is_named(
    command: tuple[str, ...], lists: str
) -> None:
    with StandIn() as server:
        result = qgjob(*command, server=server)
        assert server.requests == []
    assert result.exit == 4
    assert f"is a number from 1\nhint: see {lists}\n" in result.stderr


def test_4_for_a_schedule_of_an_unknown_name_as_for_one_of_an_unknown_id() -> None:
    with StandIn() as server:
        server.on("GET", "/schedules", [])
        server.on("GET", "/schedules/7", problem(404, "There is no schedule 7.", code="schedule_exists"))
        results = [qgjob("schedules", "show", which, "--json", server=server) for which in ("nightly", "7")]
    assert [(result.exit, result.document["error"]["code"]) for result in results] == [(4, "schedule_exists")] * 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422, 429])
def test_any_4xx_is_4(status: int) -> None:
    with StandIn() as server:
        server.on("GET", "/workers", problem(status, "no"))
        assert qgjob("workers", server=server).exit == 4


def test_an_error_with_json_is_one_document_too() -> None:
    with StandIn() as server:
        server.on("GET", "/stats", problem(409, "no", code="not_now", headers={"x-request-id": "r-1"}))
        result = qgjob("stats", "--json", server=server)
    assert result.document == {
        "schema": "qgjob.error/v1",
        "error": {"code": "not_now", "message": "no", "hint": None, "request_id": "r-1", "retryable": False},
    }
    assert "request-id: r-1" in result.stderr


@pytest.mark.parametrize("answer", [problem(500, "oops"), problem(503, "down"), Answer(502, "<html>"), dropped()])
def test_5_when_the_server_fails(answer: Answer) -> None:
    with StandIn() as server:
        server.on("GET", "/workers", answer)
        assert qgjob("workers", server=server).exit == 5


def test_5_when_nobody_listens_and_the_address_is_said() -> None:
    with StandIn() as server:
        pass
    result = qgjob("stats", server=server)
    assert result.exit == 5
    assert server.url in result.stderr


@pytest.mark.parametrize("body", ["<html>welcome</html>", '{"runs": "many"}', ""])
def test_5_when_what_answers_is_not_qgjob(body: str) -> None:
    with StandIn() as server:
        server.on("GET", "/stats", Answer(200, body))
        result = qgjob("stats", "--json", server=server)
    assert result.exit == 5
    assert result.document["error"]["code"] == "unexpected_answer"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), "no command"),
        (("statsu",), "Did you mean 'stats'"),
        (("list", "--status=done"), "'running'"),
        (("status",), "--job-id"),
        (("status", "--job-id="), "--job-id"),
        (("status", "--job-id=1", "--run-id=2"), "--job-id"),
        (("retry", "--job-id=1", "--only=all"), "--only"),
        (("logs",), "--job-id"),
    ],
)
def test_2_for_usage_in_either_form(arguments: tuple[str, ...], complaint: str) -> None:
    result = qgjob(*arguments)
    assert result.exit == 2
    assert result.stdout == ""
    assert complaint in result.stderr
    if arguments:
        assert qgjob(*arguments, "--json").document["error"]["code"] == "usage"


def ids(command: Any, *path: str) -> Iterator[tuple[str, ...]]:
    """How each id that a command takes is called (that of an app is no id of ours), and a command line where it is
    empty."""
    for name, below in getattr(command, "commands", {}).items():
        yield from ids(below, *path, name)
    for param in command.params:
        called = param.opts[0] if param.param_type_name == "option" else param.metavar
        if called == "ORG" or ((param.metavar or "").endswith("ID") and param.name != "app_id"):
            others = [other for other in command.params if other.required and other is not param]
            flags = [f"{other.opts[0]}=1" for other in others if other.param_type_name == "option"]
            words = ["1" for other in others if other.param_type_name == "argument"]
            yield called, *path, *flags, *words, f"{called}=" if called.startswith("--") else ""


IDS = sorted(ids(typer.main.get_command(app)))


def test_every_kind_of_id_is_among_them() -> None:
    assert {line[0] for line in IDS} >= {
        "--job-id", "--run-id", "--only-failed-of", "--delivery-id", "ORG", "NAME|ID", "TOKEN_ID", "TRUST_ID",
        "WEBHOOK_ID",
    }  # fmt: skip


@pytest.mark.parametrize("line", IDS, ids=" ".join)
def test_2_for_an_empty_id_which_is_named_and_nothing_is_sent(line: tuple[str, ...]) -> None:
    called, *arguments = line
    with StandIn() as server:
        result = qgjob(*arguments, server=server, QGJOB_ORG_ID="qualgent")
    assert (result.exit, result.stdout, server.requests) == (2, "", [])
    complaint, hint = result.stderr.splitlines()
    assert complaint.startswith(f"error: Invalid value for '{called}'")
    assert hint.startswith("hint: qgjob ")


def test_70_and_one_line_for_a_bug(tmp_path: Any) -> None:
    (tmp_path / "httpx.py").write_text("raise RuntimeError('surprise')")
    result = qgjob("stats", PYTHONPATH=str(tmp_path))
    assert result.exit == 70
    assert result.stderr.startswith("error: surprise; this is a bug in qgjob\n")
    assert "Traceback" not in result.stderr
    detailed = qgjob("stats", PYTHONPATH=str(tmp_path), QGJOB_DEBUG="1")
    assert detailed.exit == 70
    assert "Traceback" in detailed.stderr


@pytest.mark.parametrize(
    ("ended", "code"),
    [
        (job("completed"), 0),
        (job("failed", failure_kind="test"), 1),
        (job("failed", failure_kind="timeout"), 1),
        (job("failed", failure_kind="infrastructure"), 3),
        (job("cancelled"), 3),
    ],
)
def test_watching_a_job_ends_with_its_verdict_and_looking_at_it_with_0(ended: dict[str, Any], code: int) -> None:
    with StandIn() as server:
        server.on("GET", "/jobs/34", job("running"), ended)
        server.on("GET", "/runs/12", run("running", running=1))
        assert qgjob("status", "--job-id=34", "--watch", server=server).exit == code
        assert qgjob("status", "--job-id=34", server=server).exit == 0


@pytest.mark.parametrize(("status", "code"), [("ok", 0), ("degraded", 3)])
def test_health_is_0_when_all_work_is_served_and_3_when_some_is_not(status: str, code: int) -> None:
    with StandIn() as server:
        document = {"database": "PostgreSQL 18", "schema_version": "0001", "oldest_pending_s": None}
        server.on("GET", "/health", {"status": status, **document, "live_workers": {"emulator": 1}, "unserved": []})
        result = qgjob("health", server=server)
    assert result.exit == code
    assert "emulator: 1" in result.stdout


def test_health_is_5_at_once_when_the_server_says_that_it_is_down() -> None:
    with StandIn() as server:
        server.on("GET", "/health", problem(503, "the database does not answer"))
        result = qgjob("health", server=server, QGJOB_RETRY_FOR="60")
        assert len(server.requests) == 1
    assert result.exit == 5
    assert "the database does not answer" in result.stderr
