"""What the API refuses because it is too much, and what it says then."""

import asyncio
import json
from http.client import HTTPMessage
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import psycopg
import pytest
from engine import Engine
from processes import Services

import sql
from api.limits import RequestLimit, RequestLimits
from api.problems import TooMany
from qgjob.children import wait_until

JOB = {"org_id": "acme", "app_version_id": "v1", "test_path": "a.js"}


def send(url: str, body: Any = None, method: str = "POST", **headers: str) -> tuple[int, HTTPMessage, Any]:
    content = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    request = Request(url, content, {"Content-Type": "application/json", **headers}, method=method)
    try:
        with urlopen(request, timeout=60) as answer:
            return answer.status, answer.headers, json.loads(answer.read() or b"null")
    except HTTPError as refused:
        return refused.code, refused.headers, json.load(refused)


def test_organisations_their_quotas_and_schedules_from_http_to_the_shell(engine: Engine, services: Services) -> None:
    url = services.api()
    assert send(f"{url}/orgs", {"org_id": "acme", "max_pending_jobs": 2})[0] == 201
    assert send(f"{url}/orgs", {"org_id": "acme"})[0] == 409
    jobs = [{"test_path": f"{n}.js"} for n in range(2)]
    assert send(f"{url}/runs", {"org_id": "acme", "app_version_id": "v1", "jobs": jobs})[0] == 201
    status, headers, problem = send(f"{url}/jobs", JOB)
    assert (status, problem["type"], headers["Retry-After"]) == (429, "urn:qgjob:pending_jobs_are_limited", "10")
    assert "may have 2 pending jobs: 2 are pending" in problem["title"]

    refused = services.qgjob("submit", "--org-id=acme", "--app-version-id=v1", "--test=a.js", QGJOB_RETRY_FOR="0")
    assert (refused.returncode, "may have 2 pending jobs" in refused.stderr) == (4, True)
    assert "2 of 2" in services.qgjob("orgs", "show", "acme").stdout
    assert services.qgjob("orgs", "set", "acme", "--max-pending-jobs=none", "--group-by=repo").returncode == 0
    created = services.qgjob("orgs", "set", "acmee", "--weight=2")
    assert (created.returncode, "created the organisation acmee" in created.stderr) == (0, True)
    assert "beside acme; if that is a mistake: qgjob orgs remove acmee" in created.stderr
    assert "changed the organisation acmee" in services.qgjob("orgs", "set", "acmee", "--weight=3").stderr
    unasked = services.qgjob("orgs", "remove", "acmee")
    assert (unasked.returncode, "say --yes" in unasked.stderr) == (2, True)
    assert services.qgjob("orgs", "remove", "acmee", "--yes").stdout == "Organisation acmee removed\n"
    assert services.qgjob("orgs", "show", "acmee").returncode == 4
    busy = services.qgjob("orgs", "remove", "acme", "--yes", "--json")
    assert (busy.returncode, "acme has unfinished work: 1 run" in busy.stdout) == (4, True)
    assert services.qgjob("orgs", "set", "acme", "--max-devices=0").returncode == 2
    assert "unlimited" in services.qgjob("orgs", "list").stdout
    assert send(f"{url}/orgs/acme", {"max_devices": 3}, "PATCH")[2]["group_by"] == ["repo"]
    assert send(f"{url}/orgs/nobody", {"max_devices": 3}, "PATCH")[0] == 404
    assert send(f"{url}/orgs/acme", {"max_devices": 0}, "PATCH")[0] == 422
    assert send(f"{url}/jobs", JOB)[0] == 201

    added = services.qgjob(
        "schedules", "add", "nightly", "--org-id=acme", "--cron=0 2 * * *", "--time-zone=Europe/Berlin",
        "--test=tests/*.spec.js", "--json",
    )  # fmt: skip
    schedule = json.loads(added.stdout)["data"]
    assert (schedule["app_version_id"], len(schedule["jobs"]) > 1) == (None, True)
    assert schedule["next_at"], "who adds one is told when it is due"
    for argv, word in (("pause nightly", "Paused"), ("resume nightly", "next"), ("run-now nightly", "Submitted run")):
        done = services.qgjob("schedules", *argv.split())
        assert (done.returncode, word in done.stdout) == (0, True), done
    assert "nightly" in services.qgjob("schedules", "list").stdout
    changed = services.qgjob("schedules", "set", "nightly", "--cron=30 3 * * *", "--app-version-id=v2", "--test=a.js")
    assert changed.stdout.startswith("Changed schedule")
    shown = services.qgjob("schedules", "show", "nightly").stdout.splitlines()
    assert {"when          30 3 * * *", "build         v2", "tests         a.js"} <= set(shown), shown
    assert services.qgjob("schedules", "set", "nightly", "--app-version-id=newest").returncode == 0
    now = json.loads(services.qgjob("schedules", "show", "nightly", "--json").stdout)["data"]
    assert (now["app_version_id"], now["time_zone"], len(now["jobs"])) == (None, "Europe/Berlin", 1)
    for mistake in ((), ("--target=device",), ("--cron=0 2 * * *", "--at=2027-01-01T06:00"), ("--test=\udcff.js",)):
        assert services.qgjob("schedules", "set", "nightly", *mistake).returncode == 2
    assert services.qgjob("schedules", "remove", str(schedule["schedule_id"])).returncode == 0
    assert services.qgjob("schedules", "pause", "nightly").returncode == 4

    for wrong, rule in (
        ({"cron": "61 * * * *"}, "cron_is_readable"),
        ({"cron": "* * * * *", "time_zone": "Mars/Olympus"}, "time_zone_is_known"),
        ({}, "schedule_has_one_time"),
        ({"at": "2000-01-01T00:00:00Z"}, "at_is_in_the_future"),
        ({"at": "2100-01-01T00:00:00"}, "request_is_well_formed"),
    ):
        submission = {"org_id": "acme", "name": "x", "jobs": [{"test_path": "a.js"}], **wrong}
        assert send(f"{url}/schedules", submission)[2]["type"] == f"urn:qgjob:{rule}", wrong
    assert engine.value("select count(*) from qgjob.schedule") == 0


def test_new_tests_of_a_schedule_run_where_its_others_did_and_as_their_manifest_says(
    services: Services, tmp_path: Path
) -> None:
    url = services.api()
    usual = {"target": "device", "selector": {"platform": "ios"}, "priority": "high"}
    schedule = {"org_id": "acme", "name": "nightly", "cron": "0 2 * * *", "jobs": [{"test_path": "a.js"}]}
    assert send(f"{url}/schedules", {**schedule, "defaults": usual})[0] == 201

    def job(*argv: str) -> tuple[str, ...]:
        """The only one, as it would be submitted now."""
        assert services.qgjob("schedules", "set", "nightly", *argv).returncode == 0
        ran = json.loads(services.qgjob("schedules", "run-now", "nightly", "--json").stdout)["data"]
        found = services.get(f"/jobs/{ran['job_ids'][0]}")
        return found["test_path"], found["target"], found["selector"].get("platform"), found["priority"]

    assert "targets       device:platform=ios" in services.qgjob("schedules", "show", "nightly").stdout
    assert job("--app-version-id=v1", "--test=b.js") == ("b.js", "device", "ios", "high")
    manifest = tmp_path / "smoke.toml"
    manifest.write_text('defaults = {priority = "low"}\ntests = [{path = "c.js"}]\n')
    assert job(f"--manifest={manifest}") == ("c.js", "device", "ios", "low")
    assert job("--test=d.js", "--target=emulator") == ("d.js", "emulator", None, "low")


def test_requests_beyond_the_limit_are_told_when_to_come_back(engine: Engine, services: Services) -> None:
    engine.call("create_org", org_id="acme", settings={"requests_per_minute": 5})
    url = services.api()

    def is_limited() -> bool:
        return send(f"{url}/jobs?org_id=acme", method="GET")[0] == 429

    assert wait_until(is_limited, 60)
    status, headers, problem = send(
        f"{url}/runs", {"org_id": "acme", "app_version_id": "v1", "jobs": [{"test_path": "a"}]}
    )
    assert (status, problem["type"]) == (429, "urn:qgjob:requests_are_limited")
    assert 1 <= int(headers["Retry-After"]) <= 12
    assert send(f"{url}/jobs?org_id=globex", method="GET")[0] == 200


def test_a_minute_of_requests_may_come_at_once_and_then_one_by_one() -> None:
    now = 100.0
    limits = RequestLimits(lambda: now)
    limits.set([RequestLimit("acme", 6)])
    for _ in range(6):
        limits.admit("acme")
    with pytest.raises(TooMany) as refused:
        limits.admit("acme")
    assert refused.value.retry_after_s == 10
    now += 10
    limits.admit("acme")
    with pytest.raises(TooMany):
        limits.admit("acme")
    limits.admit("globex")
    limits.admit(None)
    now += 3600
    for _ in range(6):
        limits.admit("acme")
    with pytest.raises(TooMany):
        limits.admit("acme")
    limits.set([])
    limits.admit("acme")


def test_bodies_are_as_large_as_their_routes_need(services: Services) -> None:
    url = services.api()
    for path, megabytes, method in (("jobs", 1, "POST"), ("jobs/1", 4, "PUT"), ("runs", 16, "POST")):
        body = json.dumps({"x": "y" * (megabytes * 1024 * 1024)}).encode()
        status, _, problem = send(f"{url}/{path}", body, method)
        assert (status, problem["type"]) == (413, "urn:qgjob:body_is_small_enough"), path
        status, _, _ = send(f"{url}/{path}", body[: len(body) // 2], method)
        assert status in (400, 422), path


def test_a_call_that_takes_too_long_is_ended_in_the_database_too(engine: Engine) -> None:
    engine.submit("a.js")
    with engine.connection.transaction():
        engine.rows("select from qgjob.job for update")

        async def cancel() -> None:
            async with sql.open_pool(engine.url, size=1, limit_s=0.1, longer_s={"get_time": 30}) as db:
                with pytest.raises(psycopg.errors.QueryCanceled):
                    await sql.call(db, "cancel_job", job_id=1)
                await sql.call(db, "get_time")

        asyncio.run(cancel())
        waiting = (
            "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
        )
        assert engine.value(waiting) == 0
    assert engine.job(1).status == "pending"


def test_who_waits_too_long_for_a_lock_is_told_so(engine: Engine, services: Services) -> None:
    url = services.api()
    engine.submit("a.js")
    engine.connection.execute("alter function qgjob.cancel_job set lock_timeout = '50ms'")
    with engine.connection.transaction():
        engine.rows("select from qgjob.job for update")
        status, headers, problem = send(f"{url}/jobs/1/cancel", b"")
    assert (status, problem["type"], headers["Retry-After"]) == (503, "urn:qgjob:lock_is_free", "5")
    assert send(f"{url}/jobs/1/cancel", b"")[2]["cancelled"] == 1
