"""Every route of the API, asked for what belongs to another organisation, answers as if that did not exist."""

import re
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import Any, NamedTuple

import pytest
from callers import Answer, ask, asking, token
from engine import Engine
from processes import Services
from psycopg.types.json import Jsonb

from qgjob.children import wait_until

SHA = "0" * 64


class Case(NamedTuple):
    """How to ask: `{}` in the path stands for the id. `of` names the kind of the id; None: the route has none, and then
    the answer must not hold anything of the other organisation."""

    of: str | None = None
    path: str | None = None
    body: Any = None
    content_type: str = "application/json"


JOB, RUN, SCHEDULE, WEBHOOK = Case("job"), Case("run"), Case("schedule"), Case("webhook")
BATCH = Case("batch")
CONTENT = {"provider": "browserstack", "account": "a", "sha256": SHA}
# What workers may say too late is answered with nothing, whether there ever was such a thing or not.
SILENT = {
    "POST /workers/{worker_id}/devices/{device_id}/release",
    "POST /workers/{worker_id}/end",
    "POST /workers/{worker_id}/sessions",
    "POST /workers/{worker_id}/uploads/record",
    "POST /workers/{worker_id}/uploads/forget",
    "GET /batches/{lease}/traces",
    "POST /batches/{lease}/log",
}
# A new route needs a line here. Beyond ids in the path, bodies and queries that name one are asked below.
MATRIX: dict[str, Case] = {
    "POST /jobs": Case("org", body={"org_id": "{}", "app_version_id": "v1", "test_path": "a.js"}),
    "GET /jobs": Case(),
    "GET /jobs/{job_id}": JOB,
    "PUT /jobs/{job_id}": Case("job", body={"lease": 77, "status": "completed", "result": {"success": True}}),
    "POST /jobs/{job_id}/cancel": JOB,
    "POST /jobs/{job_id}/retry": JOB,
    "GET /jobs/{job_id}/events": JOB,
    "GET /jobs/{job_id}/attempts": JOB,
    "GET /jobs/{job_id}/log": JOB,
    "GET /jobs/{job_id}/log/live": JOB,
    "GET /jobs/{job_id}/why": JOB,
    "GET /jobs/{job_id}/artifacts": JOB,
    "GET /jobs/{job_id}/artifacts/{attempt}/{number}": Case("job", "/jobs/{}/artifacts/1/1"),
    "PUT /jobs/{job_id}/artifacts/{attempt}/{number}": Case(
        "job", "/jobs/{}/artifacts/1/1?lease=77&name=x", b"x", "application/octet-stream"
    ),
    "POST /runs": Case("org", body={"org_id": "{}", "app_version_id": "v1", "jobs": [{"test_path": "a.js"}]}),
    "GET /runs": Case(),
    "GET /runs/{run_id}": RUN,
    "GET /runs/{run_id}/junit.xml": RUN,
    "GET /runs/{run_id}/events": RUN,
    "GET /runs/{run_id}/failures": RUN,
    "GET /runs/{run_id}/why": RUN,
    "GET /runs/{run_id}/unserved": RUN,
    "POST /runs/{run_id}/detach": RUN,
    "POST /runs/{run_id}/cancel": RUN,
    "POST /runs/{run_id}/retry": RUN,
    "GET /groups": Case(),
    "GET /stats": Case(),
    "GET /health": Case(),
    "GET /metrics": Case(),
    "GET /orgs": Case(),
    "POST /orgs": Case("org", body={"org_id": "{}"}),
    "GET /orgs/{org_id}": Case("org"),
    "PATCH /orgs/{org_id}": Case("org", body={"max_pending_jobs": 5}),
    "DELETE /orgs/{org_id}": Case("org"),
    "GET /schedules": Case(),
    "POST /schedules": Case(
        "org", body={"org_id": "{}", "name": "n", "cron": "0 2 * * *", "jobs": [{"test_path": "a.js"}]}
    ),
    "GET /schedules/{schedule_id}": SCHEDULE,
    "PATCH /schedules/{schedule_id}": Case("schedule", body={"enabled": False}),
    "DELETE /schedules/{schedule_id}": SCHEDULE,
    "POST /schedules/{schedule_id}/run": SCHEDULE,
    "GET /webhooks": Case(),
    "POST /webhooks": Case("org", body={"org_id": "{}", "url": "https://1.1.1.1/hook"}),
    "PATCH /webhooks/{webhook_id}": Case("webhook", body={"enabled": False}),
    "DELETE /webhooks/{webhook_id}": WEBHOOK,
    "POST /webhooks/{webhook_id}/rotate-secret": Case("webhook", body={}),
    "POST /webhooks/{webhook_id}/test": WEBHOOK,
    "GET /webhooks/{webhook_id}/deliveries": WEBHOOK,
    "POST /webhooks/{webhook_id}/redrive": WEBHOOK,
    "GET /builds": Case(),
    "POST /builds": Case("org", body={"org_id": "{}", "app_version_id": "v1", "platform": "android", "sha256": SHA}),
    "PUT /builds/{org_id}/{app_version_id}/artifacts/{platform}": Case(
        "org", f"/builds/{{}}/v1/artifacts/android?sha256={SHA}", b"x", "application/octet-stream"
    ),
    "GET /builds/{org_id}/{app_version_id}": Case("org", "/builds/{}/rivals-build"),
    "GET /builds/{org_id}/files/{name}": Case("org", f"/builds/{{}}/files/{SHA}.apk"),
    "GET /workers": Case(),
    "POST /workers": Case("org", body={"name": "w", "target_types": ["emulator"], "org_ids": ["{}"]}),
    "POST /workers/{worker_id}/devices": Case("worker", body={"name": "mine", "target": "emulator"}),
    "POST /workers/{worker_id}/heartbeat": Case("worker"),
    "POST /workers/{worker_id}/claims": Case("worker", body={"device_id": 1}),
    "POST /workers/{worker_id}/drain": Case("worker"),
    "POST /workers/{worker_id}/devices/{device_id}/health": Case(
        "worker", "/workers/{}/devices/2/health", {"complaint": "sick"}
    ),
    "POST /workers/{worker_id}/devices/{device_id}/release": Case("worker", "/workers/{}/devices/2/release", {}),
    "POST /workers/{worker_id}/end": Case("worker"),
    "POST /workers/{worker_id}/sessions": Case("worker", body={"account": "a"}),
    "POST /workers/{worker_id}/uploads/find": Case("worker", body=CONTENT),
    "POST /workers/{worker_id}/uploads/record": Case("worker", body=CONTENT | {"url": "bs://1"}),
    "POST /workers/{worker_id}/uploads/forget": Case("worker", body=CONTENT | {"url": "bs://1"}),
    "GET /batches/{lease}/traces": BATCH,
    "POST /batches/{lease}/installed": BATCH,
    "POST /batches/{lease}/session": Case("batch", body={"session_id": "s"}),
    "POST /batches/{lease}/log": Case("batch", body={"job_id": 2, "after": 0, "log": "forged"}),
    "POST /batches/{lease}/admission": Case("batch", body={"account": "a", "allowed": 5, "running": 0}),
    "POST /batches/{lease}/release": Case("batch", body={}),
    "GET /devices": Case(),
    "POST /devices/{device_id}/quarantine": Case("device", body={"reason": "because"}),
    "POST /devices/{device_id}/readmit": Case("device"),
    "GET /whoami": Case(),
    "GET /tokens": Case(),
    "POST /tokens": Case("org", body={"org_id": "{}", "name": "n", "scopes": ["read"]}),
    "DELETE /tokens/{token_id}": Case("token"),
    "POST /tokens/oidc": Case(body={"token": "x"}),
    "GET /trusts": Case(),
    "POST /trusts": Case("org", body={"org_id": "{}", "repository_owner_id": "1"}),
    "DELETE /trusts/{trust_id}": Case("trust"),
}


class Rival(NamedTuple):
    """What another organisation has; `ids` by kind."""

    ids: dict[str, Any]


UNKNOWN: dict[str, Any] = dict.fromkeys(
    ("job", "run", "worker", "device", "token", "trust", "schedule", "webhook", "batch"), 987654321
)
UNKNOWN["org"] = "nobodys-1"


@pytest.fixture
def rival(engine: Engine) -> Rival:
    """One of everything, all of it of `rival-1`."""
    worker = engine.call("register_worker", name="rivals", version="", targets=["emulator"], lease_s=3600,
                         org_ids=["rival-1"])[0]  # fmt: skip
    engine.call("register_device", worker_id=worker, name="rivals spare", target="emulator")
    device = engine.call("register_device", worker_id=worker, name="rivals phone", target="emulator")[0]
    run = engine.submit("tests/rivals.js", "tests/rivals2.js", org="rival-1", build="rivals-build",
                        traceparent="00-" + "7" * 32 + "-" + "7" * 16 + "-01")  # fmt: skip
    batch = engine.call("claim_batch", worker_id=worker, device_id=device)
    engine.call("record_install", lease=batch.lease)
    engine.run_job(batch.lease, run.job_ids[0])
    token(engine, "read", org="rival-1")
    trust = engine.call("add_trust", org_id="rival-1", issuer="https://issuer", repository_owner_id="7")
    engine.call("add_artifact", org_id="rival-1", app_version_id="rivals-build", platform="android", sha256=SHA,
                url="https://rivals.example/app.apk")  # fmt: skip
    engine.call("watch_log", job_id=run.job_ids[1])
    engine.connection.execute("update qgjob.batch set session_id = 'rivals-session', account = 'a'")
    assert (run.job_ids[1], device) == (2, 2), "as the matrix says"
    schedule = engine.call("add_schedule", org_id="rival-1", name="rivals-nightly", cron="0 2 * * *",
                           jobs=Jsonb([{"test_path": "a.js"}]))  # fmt: skip
    # Otherwise the housekeeping of the service works it out while the test compares.
    engine.connection.execute("update qgjob.schedule set next_at = qgjob.now() + interval '1 day'")
    webhook = engine.call("add_webhook", org_id="rival-1", url="https://rivals.example/hook")
    engine.call("test_webhook", webhook_id=webhook.webhook_id)
    engine.connection.execute("update qgjob.webhook_delivery set status = 'dead', event = 'run.finished', "
                              "next_at = null, ended_at = qgjob.now()")  # fmt: skip
    ids = {"job": run.job_ids[0], "run": run.run_id, "worker": worker, "device": device, "org": "rival-1",
           "token": engine.value("select max(token_id) from qgjob.api_token"), "trust": trust.trust_id,
           "schedule": schedule.schedule_id, "webhook": webhook.webhook_id, "batch": batch.lease}  # fmt: skip
    return Rival(ids)


def state(engine: Engine) -> list[Any]:
    """Everything that a request could have changed."""
    tables = ("job", "run", "run_job", "attempt", "batch", "build", "artifact", "org", "trust", "worker", "device",
              "schedule", "webhook", "webhook_delivery", "live_log")  # fmt: skip
    rows = [str(engine.rows(f"select * from qgjob.{table} order by 1, 2")) for table in tables]
    return [*rows, str(engine.rows("select token_id, revoked_at from qgjob.api_token order by 1"))]


def asked(url: str, route: str, case: Case, of: Any, shown: str) -> Answer:
    method, _, template = route.partition(" ")
    path = (case.path or re.sub(r"\{\w+\}", "{}", template, count=1)).replace("{}", str(of))

    def filled(part: Any) -> Any:
        if isinstance(part, dict):
            return {key: filled(value) for key, value in part.items()}
        if isinstance(part, list):
            return [filled(value) for value in part]
        return str(of) if part == "{}" else part

    return ask(url + path, shown, filled(case.body), method=method, content_type=case.content_type)


def alike(text: str, of: Any) -> str:
    return re.sub(rf"\b{re.escape(str(of))}\b", "ID", text)


def test_every_route_has_a_line_here(services: Services) -> None:
    paths = ask(asking(services) + "/schema/openapi.json").body["paths"]
    routes = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    assert routes == MATRIX.keys()


def test_what_is_foreign_is_answered_as_what_does_not_exist(services: Services, engine: Engine, rival: Rival) -> None:
    url = asking(services, QGJOB_OIDC_AUDIENCE="https://qgjob.example")
    mine = token(engine, "admin", org="acme")
    before = state(engine)
    for route, case in MATRIX.items():
        if case.of is None:
            continue
        foreign = asked(url, route, case, rival.ids[case.of], mine)
        unknown = asked(url, route, case, UNKNOWN[case.of], mine)
        assert foreign.status == unknown.status, (route, foreign)
        if route in SILENT:
            assert foreign.status < 300, (route, foreign)
            assert foreign.body == unknown.body, (route, foreign)
            continue
        assert 400 <= foreign.status < 500, (route, foreign)
        assert alike(str(foreign.body), rival.ids[case.of]) == alike(str(unknown.body), UNKNOWN[case.of]), route
        assert foreign.status == 404 or foreign.body["type"].endswith(("lease_is_held", "device_has_one_worker")), route
    assert state(engine) == before


def test_what_is_listed_is_ones_own(services: Services, engine: Engine, rival: Rival) -> None:
    url = asking(services)
    engine.submit("tests/own.js", org="acme", build="own-build")
    mine = token(engine, "admin", org="acme")
    for route, case in MATRIX.items():
        if case.of is not None or not route.startswith("GET "):
            continue
        path = route.removeprefix("GET ")
        for query in ("", "?org_id=rival-1", f"?run_id={rival.ids['run']}"):
            answer = ask(url + path + query, mine)
            refused = query and answer.status == 422 and answer.body["type"].endswith(":parameter_is_known")
            assert answer.status == 200 or refused, (route, answer)
            said = str(answer.body).replace("'org_id': 'rival-1'" if path == "/stats" else "\0", "")
            assert "rival" not in said, (route, query, answer.body)
    assert ask(url + "/jobs", mine).body["jobs"][0]["test_path"] == "tests/own.js"
    assert ask(url + "/stats?org_id=rival-1", mine).body["jobs"] == 0
    everybody = token(engine, "admin")
    assert {job["org_id"] for job in ask(url + "/jobs", everybody).body["jobs"]} == {"acme", "rival-1"}


def test_a_foreign_lease_is_answered_as_an_unknown_one(services: Services, engine: Engine) -> None:
    """Its worker's token is another organisation's, and both the lease and the job are guessed right."""
    url = asking(services)
    work = token(engine, "work", org="acme")
    engine.submit(*(f"{number}.js" for number in range(7)), org="rival")
    batch = engine.claim(engine.drive()).lease
    job = engine.value("select max(job_id) from qgjob.job where batch_id = %s", batch)
    assert job != batch
    before = state(engine)
    for status in ("running", "completed"):
        foreign = ask(f"{url}/jobs/{job}", work, {"lease": batch, "status": status}, method="PUT")
        unknown = ask(f"{url}/jobs/98765", work, {"lease": batch, "status": status}, method="PUT")
        assert foreign.status == unknown.status
        assert alike(str(foreign.body), job) == alike(str(unknown.body), 98765)
        other = ask(f"{url}/jobs/{job}", work, {"lease": 98766, "status": status}, method="PUT")
        assert alike(str(foreign.body), batch) == alike(str(other.body), 98766)
    assert state(engine) == before
    right = ask(f"{url}/jobs/{job}", token(engine, "work"), {"lease": batch, "status": "completed"}, method="PUT")
    assert right.body == {"status": "completed", "recorded": True}


def test_a_token_of_an_organisation_writes_under_leases_of_its_own_workers_only(
    services: Services, engine: Engine
) -> None:
    """Or it could have shared devices quarantined, by losses of its own jobs."""
    url = asking(services)
    work = token(engine, "work", org="acme")
    engine.submit("a.js", "b.js")
    batch = engine.claim(engine.drive())
    engine.call("watch_log", job_id=batch.jobs[1]["job_id"])
    job = engine.value("select max(job_id) from qgjob.job")
    before = state(engine)
    loss = {"status": "failed", "failure_kind": "infrastructure"}
    asks = {
        **{route: case.body or {} for route, case in MATRIX.items() if "/batches/{lease}" in route},
        "POST /batches/{lease}/release": {"reason": "unprepared"},
        f"PUT /jobs/{job}": loss,
    }
    for route, body in asks.items():
        method, _, path = route.partition(" ")
        for lease, known in ((batch.lease, True), (98766, False)):
            said = body | {"lease": lease} if path.startswith("/jobs") else body
            answer = ask(url + path.replace("{lease}", str(lease)), work, said or None, method=method)
            assert answer.status < 300 if route in SILENT else answer.status == 409, (route, known, answer)
    path = f"{url}/jobs/{job}/artifacts/1/1?lease={batch.lease}&name=x"
    assert ask(path, work, b"x", method="PUT", content_type="application/octet-stream").status == 409
    assert state(engine) == before


def test_files_go_to_ones_own_attempts_and_builds_come_from_ones_own(services: Services, engine: Engine) -> None:
    url = asking(services)
    content = b"the app of a rival"
    sha = sha256(content).hexdigest()
    path, submit = f"{url}/builds/rival/v1/artifacts/android?sha256={sha}", token(engine, "submit", org="rival")
    uploaded = ask(path, submit, content, method="PUT", content_type="application/octet-stream")
    assert uploaded.status == 201
    work = token(engine, "work", org="acme")
    foreign, unknown = (ask(f"{url}/builds/{org}/files/{sha}.apk", work) for org in ("rival", "nobody"))
    assert (foreign.status, str(foreign.body)) == (404, str(unknown.body))
    assert ask(f"{url}/builds/rival/files/{sha}.apk", token(engine, "work", org="rival")).body == content
    engine.submit("a.js", org="rival")
    driver = engine.drive()
    engine.connection.execute("update qgjob.worker set org_ids = '{rival}'")
    batch = engine.claim(driver)
    job = engine.value("select max(job_id) from qgjob.job")
    engine.start(batch.lease, job)
    path = f"{url}/jobs/{job}/artifacts/1/1?lease={batch.lease}&name=x"
    for org, status in (("acme", 409), ("rival", 200)):
        sent = ask(path, token(engine, "work", org=org), b"x", method="PUT", content_type="application/octet-stream")
        assert sent.status == status, sent


def test_who_names_an_account_of_a_device_cloud_shares_it_within_the_organisation(
    services: Services, engine: Engine
) -> None:
    """Otherwise one could have others' tests run another app."""
    url = asking(services)
    workers: dict[str, tuple[str, str]] = {}
    for org in ("acme", "acme", "rival"):
        shown = token(engine, "work", org=org)
        number = ask(f"{url}/workers", shown, {"name": org, "target_types": ["browserstack"]}).body["worker_id"]
        workers[f"{org}{len(workers)}"] = (f"{url}/workers/{number}/uploads", shown)
    path, shown = workers["acme0"]
    assert ask(f"{path}/record", shown, CONTENT | {"url": "bs://forged"}).status == 204
    told = {name: ask(f"{path}/find", shown, CONTENT).body["url"] for name, (path, shown) in workers.items()}
    assert told == {"acme0": "bs://forged", "acme1": "bs://forged", "rival2": None}
    assert engine.call("find_upload", worker_id=1, **CONTENT).url is None


def test_who_waits_shares_only_with_ones_own(services: Services, engine: Engine) -> None:
    """What is waited for is kept once for all who wait, so it is there when a foreigner asks."""
    url = asking(services)
    run = engine.submit("a.js", org="rival")
    own, foreign = token(engine, "read", org="rival"), token(engine, "read", org="acme")
    with ThreadPoolExecutor() as waiting:
        for path in (f"runs/{run.run_id}", f"jobs/{run.job_ids[0]}"):
            answer = waiting.submit(ask, f"{url}/{path}?wait=20&after_seq=1000", own)
            assert wait_until(lambda: engine.value("select watched_until from qgjob.run") is not None, 20)
            for way in ("", "?wait=1&after_seq=1000", "/events"):
                refused = ask(f"{url}/{path}{way}", foreign)
                assert (refused.status, "exists" in refused.body["type"]) == (404, True), way
            assert not answer.done()
        engine.call("cancel_run", run_id=run.run_id)
        assert answer.result().status == 200


def test_a_device_of_others_cannot_be_taken_over_by_its_name(services: Services, engine: Engine) -> None:
    url = asking(services)
    engine.drive("shared")
    engine.connection.execute("update qgjob.worker set ended_at = qgjob.now()")
    work = token(engine, "work", org="acme")
    worker = ask(f"{url}/workers", work, {"name": "w", "target_types": ["emulator"]}).body["worker_id"]
    taken = ask(f"{url}/workers/{worker}/devices", work, {"name": "shared", "target": "emulator"})
    assert (taken.status, taken.body["type"]) == (409, "urn:qgjob:device_name_is_free")
    assert ask(f"{url}/workers/{worker}/devices", work, {"name": "own", "target": "emulator"}).status == 201
    assert ask(f"{url}/workers/{worker}/devices", work, {"name": "own", "target": "emulator"}).status == 201


def test_two_organisations_on_one_connection_leave_each_other_nothing(services: Services, engine: Engine) -> None:
    url = asking(services)
    engine.submit("tests/a.js", org="acme")
    engine.submit("tests/b.js", org="other")
    tokens = {org: token(engine, "read", org=org) for org in ("acme", "other")}
    for _ in range(10):  # more than psycopg waits for before it prepares a statement
        for org, shown in tokens.items():
            assert [job["org_id"] for job in ask(f"{url}/jobs", shown).body["jobs"]] == [org]
