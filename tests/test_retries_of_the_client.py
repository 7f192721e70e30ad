"""What may have been a passing trouble is tried again, with the same key; what was decided never is."""

from email.utils import formatdate
from typing import Any

import pytest
from stand_in import Request, StandIn, dropped, problem, qgjob, submitted

from qgjob.transport import pause_s

SUBMIT = ("submit", "--org-id=qualgent", "--app-version-id=v1", "--test=a")
AT_ONCE = {"retry-after": "0"}


def submissions(server: StandIn) -> list[Request]:
    """Without the question whether somebody drives devices for what was submitted."""
    return [request for request in server.requests if request.method == "POST"]


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_a_passing_trouble_is_tried_again(status: int) -> None:
    with StandIn() as server:
        server.on("POST", "/runs", problem(status, "busy.", headers=AT_ONCE), submitted(34))
        result = qgjob(*SUBMIT, server=server, QGJOB_RETRY_FOR="60")
        assert len(submissions(server)) == 2
    assert result.exit == 0
    assert "busy; trying again" in result.stderr


def test_a_dropped_connection_is_tried_again_with_the_same_idempotency_key() -> None:
    with StandIn() as server:
        server.on("POST", "/runs", dropped(), dropped(), submitted(34, replayed=True))
        result = qgjob(*SUBMIT, server=server, QGJOB_RETRY_FOR="60")
        keys = [request.headers["idempotency-key"] for request in submissions(server)]
    assert result.exit == 0
    assert (len(keys), len(set(keys))) == (3, 1)
    assert result.stderr.count("trying again") == 1


def test_who_mistypes_a_port_is_told_before_the_wait() -> None:
    with StandIn() as server:
        url = server.url
    result = qgjob("stats", f"--server-url={url}", QGJOB_RETRY_FOR="2")
    where = "is the server running? QGJOB_SERVER_URL or --server-url says where"
    refused = f"cannot reach {url}: Connection refused"
    said = f"{refused}; trying again for up to 2 s ({where})\nerror: {refused}\nhint: {where}\n"
    assert (result.exit, result.stderr) == (5, said)


def test_two_invocations_have_two_keys() -> None:
    with StandIn() as server:
        server.on("POST", "/runs", submitted(34))
        qgjob(*SUBMIT, server=server)
        qgjob(*SUBMIT, server=server)
        assert len({request.headers["idempotency-key"] for request in submissions(server)}) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 413, 422])
def test_a_decision_is_never_asked_for_again(status: int) -> None:
    with StandIn() as server:
        server.on("POST", "/runs", problem(status, "no"), submitted(34))
        result = qgjob(*SUBMIT, server=server, QGJOB_RETRY_FOR="60")
        assert len(server.requests) == 1
    assert result.exit == 4
    assert "error: no\n" in result.stderr


def test_a_pause_that_a_server_asks_for_has_a_limit() -> None:
    assert pause_s(0, 3600.0) == 30.0
    assert 5.0 <= pause_s(0, 5.0) <= 30.0


def test_a_server_that_asks_for_more_time_than_there_is_gets_none() -> None:
    with StandIn() as server:
        server.on("GET", "/workers", problem(429, "slow down", headers={"retry-after": "3600"}))
        assert qgjob("workers", server=server, QGJOB_RETRY_FOR="20").exit == 4
        server.on(
            "GET", "/workers", problem(503, "soon", headers={"retry-after": formatdate(4_000_000_000, usegmt=True)})
        )
        assert qgjob("workers", server=server, QGJOB_RETRY_FOR="20").exit == 5
        assert len(server.requests) == 2


def test_trouble_that_does_not_pass_ends_as_what_it_was() -> None:
    with StandIn() as server:
        server.on("GET", "/workers", problem(503, "upgrading", headers=AT_ONCE))
        result = qgjob("workers", "--json", server=server, QGJOB_RETRY_FOR="1")
    assert result.exit == 5
    assert result.document["error"]["retryable"] is True
    assert "error: upgrading" in result.stderr


def test_cancelling_and_retrying_survive_a_dropped_answer() -> None:
    with StandIn() as server:
        server.on("POST", "/runs/12/cancel", dropped(), {"cancelled": 2, "stopping": 1})
        server.on("POST", "/runs/12/retry", dropped(), submitted(40, 41))
        cancelled = qgjob("cancel", "--run-id=12", server=server, QGJOB_RETRY_FOR="60")
        retried = qgjob("retry", "--run-id=12", server=server, QGJOB_RETRY_FOR="60")
        first, second = server.asked("POST", "/runs/12/retry")
    assert cancelled.stdout == "Cancelled 2 jobs · 1 running, being stopped\n"
    assert retried.stdout == "Submitted run 12 · 2 jobs\n"
    assert first.query == [("only", "failed")]
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]


def test_health_can_wait_until_the_server_is_up() -> None:
    up: dict[str, Any] = {"status": "ok", "database": "18", "schema_version": "1"}
    up |= {"oldest_pending_s": None, "live_workers": {}, "unserved": []}
    with StandIn() as server:
        server.on("GET", "/health", dropped(), problem(503, "starting", headers=AT_ONCE), up)
        assert qgjob("health", "--wait-for=1m", server=server).exit == 0


def test_an_id_cannot_climb_to_another_route() -> None:
    with StandIn() as server:
        for identifier in ("..", "1/cancel", "1?x=2", "a b"):
            assert qgjob("cancel", f"--job-id={identifier}", server=server).exit == 4
        assert server.requests == [], "the id of a job is a number"
        for identifier in ("..", "1/cancel", "1?x=2", "a b"):
            assert qgjob("orgs", "show", identifier, server=server).exit == 4
        paths = [request.path for request in server.requests]
    assert paths == ["/orgs/%2E%2E", "/orgs/1%2Fcancel", "/orgs/1%3Fx%3D2", "/orgs/a%20b"]
