"""A failure has one name from SQL through HTTP to the shell, and whatever comes in gets a clear answer."""

import json
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import psycopg
import pytest
from engine import Engine
from processes import CHECKOUT, Services

from qgjob.problems import exit_code_of, status_of


def send(
    url: str, body: bytes = b"", content_type: str = "application/json", method: str = "POST", **headers: str
) -> Any:
    """The problem document that the server answers with, and its status."""
    request = Request(url, body, {"Content-Type": content_type, **headers}, method=method)
    with pytest.raises(HTTPError) as refused:
        urlopen(request, timeout=30)
    answer = refused.value
    assert answer.headers["Content-Type"].startswith("application/problem+json"), answer.read()
    problem = json.load(answer)
    assert problem["status"] == answer.code
    assert problem["type"].startswith("urn:qgjob:")
    assert problem["title"]
    return problem


def test_one_refusal_from_sql_to_the_shell(engine: Engine, services: Services) -> None:
    with pytest.raises(psycopg.Error) as refused:
        engine.call("get_job", job_id=7)
    assert (refused.value.sqlstate, refused.value.diag.constraint_name) == ("QJ404", "job_exists")

    problem = send(services.api() + "/jobs/7", method="GET")
    assert (problem["status"], problem["type"], problem["title"]) == (
        404, "urn:qgjob:job_exists", "There is no job 7.",
    )  # fmt: skip

    shell = services.qgjob("status", "--job-id=7")
    assert (shell.returncode, shell.stdout) == (4, "")
    assert "There is no job 7." in shell.stderr


def test_a_word_that_a_parameter_does_not_know_is_told_those_it_does(services: Services) -> None:
    url = services.api()
    for query, hint in {
        "/jobs?status=done": "One of pending, queued, running, completed, failed, cancelled.",
        "/jobs?target=phone": "One of emulator, device, browserstack.",
    }.items():
        problem = send(url + query, method="GET")
        assert (problem["status"], problem["hint"]) == (422, hint)


def test_bad_requests_are_problems_and_store_nothing(engine: Engine, services: Services) -> None:
    url = services.api()
    good = {"org_id": "acme", "app_version_id": "v1", "test_path": "a.js"}
    cases: list[tuple[bytes, int, str | None]] = [
        (b"", 422, None),
        (b"{", 400, None),
        (b"\xff\xfe", 400, None),
        (b"[" * 50_000, 400, None),
        (b"[]", 422, None),
        (json.dumps(good | {"org_id": "a b"}).encode(), 422, "org_id"),
        (json.dumps(good | {"org_id": None}).encode(), 422, None),
        (json.dumps(good | {"test_path": "../a.js"}).encode(), 422, "test_path"),
        (json.dumps(good | {"test_path": "a\0.js"}).encode(), 422, None),
        (json.dumps(good | {"colour": "red"}).encode(), 422, "colour"),
        (json.dumps(good | {"priority": "asap"}).encode(), 422, None),
        (json.dumps(good | {"retries": 10**30}).encode(), 422, None),
        (json.dumps(good | {"labels": {"a": "\0"}}).encode(), 422, None),
        (json.dumps({"org_id": "acme", "app_version_id": "v1"}).encode(), 422, "test_path"),
    ]
    for body, status, field in cases:
        problem = send(f"{url}/jobs", body)
        assert problem["status"] == status, (body[:80], problem)
        assert field is None or problem["field"] == field, (body[:80], problem)
    nul = send(f"{url}/jobs", json.dumps(good | {"labels": {"a": "\0"}}).encode())
    assert nul["title"] == "unsupported Unicode escape sequence"
    assert nul["hint"] == r"\u0000 cannot be converted to text."
    for foreign in ("application/x-www-form-urlencoded", "text/plain"):
        assert send(f"{url}/jobs", json.dumps(good).encode(), foreign)["status"] == 415
    assert engine.value("select count(*) from qgjob.run") == 0


def test_a_name_that_is_not_ours_is_refused_on_loopback(services: Services) -> None:
    request = Request(f"{services.api()}/jobs", headers={"Host": "evil.example"})
    with pytest.raises(HTTPError) as refused:
        urlopen(request, timeout=30)
    with refused.value as answer:
        assert answer.code == 400


@pytest.mark.parametrize(
    "path",
    [
        "/jobs/abc456",
        "/jobs/0",
        f"/jobs/{10**30}",
        "/jobs/-1",
        "/runs/9",
        "/nothing",
        "/jobs/1/log",
        "/runs/1/junit.xml",
    ],
)
def test_unknown_things_are_not_found(services: Services, path: str) -> None:
    assert send(services.api() + path, method="GET")["status"] in (404, 422)


def test_a_method_that_a_route_does_not_have_is_named(services: Services) -> None:
    problem = send(services.api() + "/groups", method="DELETE")
    assert (problem["status"], problem["type"]) == (405, "urn:qgjob:method_is_allowed")
    assert (problem["title"], problem["hint"]) == (
        "There is no DELETE of /groups.",
        "The routes are listed at /schema.",
    )


def test_bad_filters_are_refused_by_name(services: Services) -> None:
    url = services.api()
    for query in ("status=bad", "target=toaster", "limit=0", "limit=1001", "cursor=x", "since=yesterday", "run_id=0"):
        problem = send(f"{url}/jobs?{query}", method="GET")
        assert problem["status"] == 422, (query, problem)
        assert problem["field"] == query.partition("=")[0]
    assert send(f"{url}/runs/1?wait=61", method="GET")["field"] == "wait"
    assert send(f"{url}/jobs/1", method="DELETE")["status"] == 405


def test_parameters_that_a_route_does_not_have_are_refused_with_those_that_it_has(services: Services) -> None:
    url = services.api()
    cases: list[tuple[str, str, str, str, str]] = [
        ("GET", "/jobs?statsu=failed", "GET /jobs", "statsu", "Did you mean status? It has app_version_id, cursor,"),
        ("GET", "/jobs?org_id=acme&toaster=1", "GET /jobs", "toaster", "It has app_version_id, cursor,"),
        ("GET", "/jobs?Limit=1", "GET /jobs", "Limit", "Did you mean limit? "),
        ("GET", "/jobs/1/log?atempt=1", "GET /jobs/{job_id}/log", "atempt", "Did you mean attempt? It has attempt."),
        ("GET", "/runs/1?after=1", "GET /runs/{run_id}", "after", "Did you mean after_seq? "),
        ("GET", "/orgs?org_id=acme", "GET /orgs", "org_id", "It has none."),
        ("POST", "/jobs?org_id=acme", "POST /jobs", "org_id", "It has none."),
        ("POST", "/runs/1/retry?onyl=all", "POST /runs/{run_id}/retry", "onyl", "Did you mean only? "),
        ("GET", "/jobs?=1", "GET /jobs", "", "It has app_version_id, "),
    ]
    for method, path, route, name, hint in cases:
        problem = send(url + path, method=method)
        assert (problem["status"], problem["type"]) == (422, "urn:qgjob:parameter_is_known"), (path, problem)
        assert problem["title"] == f"{route} has no parameter {name!r}."
        assert problem["field"] == name
        assert problem["hint"].startswith(hint), (path, problem)
    # Those of probes, scrapers and browsers are theirs.
    for path in ("/health?cache=1", "/metrics?job=qgjob", "/schema?x=1", "/schema/openapi.json?version=2"):
        with urlopen(url + path, timeout=30) as answer:
            assert answer.status == 200


def test_sqlstates_have_a_status_and_an_exit_code() -> None:
    statuses = {
        "QJ404": 404, "QJ409": 409, "QJ422": 422, "23514": 422, "22P02": 422, "40P01": 503, "25006": 503, "XX000": 500,
    }  # fmt: skip
    assert {state: status_of(state) for state in statuses} == statuses
    assert status_of(None) == 503
    assert [exit_code_of(status) for status in (404, 409, 422, 500, 503)] == [4, 4, 4, 5, 5]


def test_every_refusal_in_sql_has_a_status_a_name_and_a_sentence() -> None:
    for path in Path(CHECKOUT / "sql").rglob("*.sql"):
        for part in path.read_text().split("raise exception ")[1:]:
            statement = part.split(";")[0]
            assert "errcode = 'QJ4" in statement, (path, statement)
            assert "constraint = " in statement, (path, statement)
            assert "message = " in statement, (path, statement)


def test_an_unreachable_server_is_exit_5(services: Services) -> None:
    shell = services.qgjob("stats", QGJOB_SERVER_URL="http://127.0.0.1:9", QGJOB_RETRY_FOR="0")
    assert shell.returncode == 5
    assert "Traceback" not in shell.stderr


def test_an_unknown_fault_is_told_by_a_number_that_is_in_the_log(
    engine: Engine, services: Services, tmp_path: Path
) -> None:
    url = services.api()
    engine.connection.execute("drop function qgjob.get_stats")
    problem = send(f"{url}/stats", method="GET", **{"X-Request-Id": "asked-7"})
    assert (problem["status"], problem["type"]) == (500, "urn:qgjob:server_is_sound")
    assert problem["request_id"] == "asked-7"
    assert "get_stats" not in str(problem)
    log = (tmp_path / "api.log").read_text()
    assert problem["request_id"] in log
    assert "get_stats" in log[log.index(problem["request_id"]) :]
    shell = services.qgjob("stats", QGJOB_RETRY_FOR="0")
    assert shell.returncode == 5
    assert "request-id: " in shell.stderr
