"""A worker that reaches nothing but the API, through a network in which everything goes wrong that can."""

import hashlib
import json
import random
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from callers import asking, token
from engine import Engine
from faulty_network import LOST, FaultyNetwork, Request
from invariants import assert_all
from leaving_files import installed
from processes import Services

from qgjob.children import Child, wait_until

ALL_ROUTES = {
    ("POST", "/workers"), ("POST", "/workers/N/devices"), ("POST", "/workers/N/claims"),
    ("POST", "/workers/N/heartbeat"), ("POST", "/batches/N/installed"), ("POST", "/batches/N/release"),
    ("POST", "/batches/N/log"), ("PUT", "/jobs/N"), ("PUT", "/jobs/N/artifacts/N/N"), ("POST", "/workers/N/end"),
    ("POST", "/workers/N/devices/N/health"), ("POST", "/workers/N/devices/N/release"),
}  # fmt: skip
NO_DATABASE = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("psycopg", "psycopg_pool", "obstore", "sqlalchemy", "alembic", "litestar", "sql"):
            raise ImportError(name + " is not installed in this lab")
sys.meta_path.insert(0, Missing())
"""


@pytest.fixture
def network(services: Services) -> Iterator[FaultyNetwork]:
    with FaultyNetwork(services.api()) as network:
        yield network


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def lab_worker(services: Services, network: FaultyNetwork, name: str, *options: str, **environment: str) -> Child:
    """It knows the address of the network and a token, and of no database or store."""
    if "--executor" not in options:
        options = ("--executor", "simulated", *options)
        if not any(option.startswith("duration_s=") for option in options):
            options = (*options, "--setting", "duration_s=0.05")
    return services.start(
        name, "worker", "--name", name, "--server", network.url, *options,
        without=("QGJOB_DATABASE_URL", "QGJOB_STORE_URL"), **{"QGJOB_TOKEN": "qg_lab"} | environment,
    )  # fmt: skip


def ended(engine: Engine, run_id: int) -> Any:
    assert wait_until(lambda: engine.run(run_id).finished_at is not None, 90), engine.run(run_id)
    return engine.run(run_id)


def test_every_answer_may_be_lost_once(
    engine: Engine, services: Services, network: FaultyNetwork, project: Path, tmp_path: Path
) -> None:
    lost: set[tuple[str, str]] = set()

    def once(request: Request) -> int | None:
        key = (request.method, request.route)
        return None if key in lost or lost.add(key) else LOST  # type: ignore[func-returns-value]

    network.fault = once
    (tmp_path / "trace").write_bytes(b"x" * 100_000)
    files = json.dumps([{"name": "trace é.zip", "content_type": "application/zip", "path": str(tmp_path / "trace")}])
    worker = lab_worker(
        services, network, "lab", "--executor", "leaving_files", "--backend", "leaving_files", "--project",
        str(project), "--setting", f"files={files}", "--lease", "3", **installed(project),
    )  # fmt: skip
    run = engine.submit("a.js", "b-fail.js", "c-slow.js", "d.js")
    slow, last = run.job_ids[2:]
    assert wait_until(lambda: engine.job(slow).status == "running", 60), worker.last_lines(50)
    # Somebody watches it, which the worker hears with a heartbeat.
    assert wait_until(lambda: "begin c-slow" in services.get(f"/jobs/{slow}/log/live")["log"], 60)
    worker.process.terminate()  # it finishes what runs, and releases its batch with what does not
    for number in range(3):
        (project / f"go-{number}").touch()
    assert worker.process.wait(60) == 0, worker.last_lines(50)
    engine.call("cancel_job", job_id=last)
    seen = ended(engine, run.run_id)
    assert lost == ALL_ROUTES, lost ^ ALL_ROUTES
    assert (seen.completed, seen.failed, seen.attempts) == (2, 1, 3)
    assert {request.token for request in network.seen} == {"Bearer qg_lab"}
    for job_id, names in zip(
        run.job_ids[:3], (["trace é.zip"], ["trace é.zip", "device.log"], ["trace é.zip"]), strict=True
    ):
        assert [file["name"] for file in services.get(f"/jobs/{job_id}/artifacts")] == names
    content = httpx.get(f"{services.url}/jobs/{slow}/artifacts/1/1", trust_env=False).content
    assert content == b"x" * 100_000
    (attempt,) = services.get(f"/jobs/{run.job_ids[1]}/attempts")
    assert (attempt["reset_s"], attempt["failure_kind"]) == (0.25, "test")
    assert engine.rows("select distinct video_offset_s from qgjob.attempt") == [(1.5,)]
    assert_all(engine)


def test_what_is_done_needs_no_request_of_its_own_to_end(
    engine: Engine, services: Services, network: FaultyNetwork
) -> None:
    lab_worker(services, network, "lab", "--max-jobs", "2")
    run = engine.submit(*(f"{number}.js" for number in range(6)))
    ended(engine, run.run_id)
    live = "select count(*) from qgjob.batch where ended_at is null"
    assert wait_until(lambda: engine.value(live) == 0, 30)
    assert engine.rows("select end_reason, count(*) from qgjob.batch group by 1") == [("done", 3)]
    assert not [request for request in network.seen if request.route == "/batches/N/release"]


def test_refusals_in_between_are_sat_out(engine: Engine, services: Services, network: FaultyNetwork) -> None:
    worker = lab_worker(services, network, "lab")
    run = engine.submit(*(f"{number}.js" for number in range(8)))
    assert wait_until(lambda: engine.run(run.run_id).completed >= 2, 60), worker.last_lines()
    before = len(network.seen)
    statuses = random.Random(1)
    network.fault = lambda _: statuses.choice([401, 403, 429, 500, 502, 503])
    assert wait_until(lambda: len(network.seen) >= before + 6, 60)
    network.fault = lambda _: None
    seen = ended(engine, run.run_id)
    assert (seen.completed, seen.attempts) == (8, 8)
    assert worker.running


def test_a_server_that_restarts_in_the_middle_of_a_batch_costs_nothing(
    engine: Engine, services: Services, network: FaultyNetwork
) -> None:
    lab_worker(services, network, "lab", "--setting", "duration_s=0.2")
    run = engine.submit(*(f"{number}.js" for number in range(10)))
    for number, signals in enumerate((1, 1)):
        done = engine.run(run.run_id).completed
        assert wait_until(lambda least=done + 1: engine.run(run.run_id).completed >= least, 60)
        services.stop(f"api{number}" if number else "api", signals)
        network.server = services.api(f"api{number + 1}")
    seen = ended(engine, run.run_id)
    assert (seen.completed, seen.attempts, seen.installs) == (10, 10, 1)


def test_a_batch_whose_lease_was_lost_meanwhile_is_stopped(
    engine: Engine, services: Services, network: FaultyNetwork
) -> None:
    """The network hangs for longer than the lease: others run the jobs, and nothing of the first counts."""
    worker = lab_worker(services, network, "lab", "--lease", "1", "--setting", "duration_s=0.5")
    run = engine.submit(*(f"{number}.js" for number in range(6)))
    assert wait_until(lambda: engine.run(run.run_id).completed == 1, 60), worker.last_lines()
    network.open.clear()
    services.worker("heir", "--setting", "duration_s=0.05")
    seen = ended(engine, run.run_id)
    assert seen.completed == 6
    attempts = engine.rows("select * from qgjob.attempt order by job_id, number")
    network.open.set()
    assert wait_until(lambda: "Lease 1 was lost" in worker.last_lines(100), 60), worker.last_lines()
    assert engine.rows("select * from qgjob.attempt order by job_id, number") == attempts
    more = engine.submit("more.js")
    assert ended(engine, more.run_id).completed == 1
    assert worker.running
    assert_all(engine)


def test_nothing_is_lost_or_done_twice_in_a_network_that_fails_all_the_time(
    engine: Engine, services: Services, network: FaultyNetwork
) -> None:
    chance = random.Random(7)

    def fault(_: Request) -> int | None:
        drawn = chance.random()
        return LOST if drawn < 0.15 else 503 if drawn < 0.25 else None

    network.fault = fault
    options = ("--devices", "2", "--lease", "2", "--setting", "duration_s=0.03", "--max-jobs", "5")
    workers = [lab_worker(services, network, f"lab{number}", *options) for number in range(2)]
    runs = [engine.submit(*(f"{number}.js" for number in range(12)), build=f"v{build}") for build in range(2)]
    assert wait_until(lambda: sum(engine.run(run.run_id).completed for run in runs) > 5, 60)
    workers[0].process.kill()
    workers[0].process.wait()
    workers[0] = lab_worker(services, network, "next", *options)
    for run in runs:
        assert wait_until(lambda ran=run.run_id: engine.run(ran).finished_at is not None, 90), "\n".join(
            [str(engine.rows("select * from reporting.devices")), *(worker.last_lines(20) for worker in workers)]
        )
        assert engine.run(run.run_id).completed == 12
    assert_all(engine)


def test_a_lab_machine_needs_neither_a_database_driver_nor_an_object_store(
    engine: Engine, services: Services, network: FaultyNetwork, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(NO_DATABASE)
    worker = lab_worker(services, network, "lab", "--burst", PYTHONPATH=str(tmp_path))
    run = engine.submit("a.js", "b.js")
    assert ended(engine, run.run_id).completed == 2, worker.last_lines()
    assert worker.process.wait(60) == 0, worker.last_lines()


FETCH = """
import asyncio, sys
from worker.batch import Artifact, PrepareError
from worker.builds import fetch
from worker.connection import by_api
by_api(sys.argv[1])
try:
    print(asyncio.run(fetch(Artifact(sys.argv[2], sys.argv[3]))).read_bytes().hex())
except PrepareError as error:
    print(error.blame, error)
"""


def test_builds_come_through_the_api(services: Services, network: FaultyNetwork, tmp_path: Path) -> None:
    apk = tmp_path / "app.apk"
    with zipfile.ZipFile(apk, "w") as archive:
        archive.writestr("AndroidManifest.xml", "shop 1.0")
    sha = hashlib.sha256(apk.read_bytes()).hexdigest()
    added = services.qgjob("builds", "add", "--org-id=acme", "--app-version-id=v1", f"--android={apk}")
    assert added.returncode == 0, added.stderr
    (tmp_path / "fetch.py").write_text(FETCH)

    def fetched(key: str, sha256: str) -> str:
        name = f"fetch-{random.random()}"
        child = services.start(
            name, "fetch", network.url, key, sha256, without=("QGJOB_DATABASE_URL", "QGJOB_STORE_URL"),
            PYTHONPATH=str(tmp_path),
        )  # fmt: skip
        assert child.process.wait(60) == 0, child.last_lines()
        return child.last_lines(1)

    other = "0" * 64
    assert fetched(f"builds/acme/{other}.apk", other).startswith("source The object store no longer has")
    network.fault = lambda _: 503
    assert fetched(f"builds/acme/{sha}.apk", sha).startswith("provider The build")
    network.fault = lambda _: None
    assert fetched(f"builds/acme/{sha}.apk", sha) == apk.read_bytes().hex()


@pytest.mark.parametrize(
    ("options", "status", "code", "said"),
    [
        (("--server", "http://lab.example:8080"), 200, 2, "refusing to send a token unencrypted"),
        (("--server", "ftp://lab.example"), 200, 2, "not a server URL"),
        ((), 401, 4, "Set QGJOB_TOKEN"),
        ((), 404, 4, "answered 404"),
    ],
)
def test_what_cannot_work_is_said_at_the_start(
    services: Services, network: FaultyNetwork, options: tuple[str, ...], status: int, code: int, said: str
) -> None:
    network.fault = lambda _: status
    worker = lab_worker(services, network, "lab", *options)
    assert worker.process.wait(60) == code
    assert said in worker.last_lines()


def test_what_the_api_refuses_is_no_reason_to_start_again(engine: Engine, services: Services) -> None:
    url = asking(services)
    engine.drive("shared-1")  # which serves everybody
    for shown, options, said in (
        (None, (), "Set QGJOB_TOKEN"),
        (token(engine, "read", org="acme"), (), "this needs work"),
        (token(engine, "work", org="acme"), ("--org", "rival"), "rival"),
        (token(engine, "work", org="acme"), ("--name", "shared"), "start the worker with another --name"),
    ):
        worker = services.start(
            "lab", "worker", "--server", url, "--executor", "simulated", *options, without=("QGJOB_DATABASE_URL",),
            QGJOB_TOKEN=shown or "",
        )  # fmt: skip
        assert worker.process.wait(60) == 4, worker.last_lines()
        assert said in worker.last_lines()


def test_a_trouble_that_lasts_is_told_once_in_a_while(services: Services, network: FaultyNetwork) -> None:
    worker = lab_worker(services, network, "lab")
    assert wait_until(lambda: " and drives " in worker.last_lines(), 60)
    network.fault = lambda _: 401
    before = len(network.seen)
    assert wait_until(lambda: len(network.seen) > before + 15, 60)
    told = [line for line in worker.last_lines(1000).splitlines() if "heartbeat answered 401" in line]
    assert len(told) == 1, told


def test_who_waits_for_a_device_warns(engine: Engine, services: Services) -> None:
    engine.drive("lab-1", lease_s=600)
    services.api()
    worker = services.worker("lab", "--server", services.url)
    assert wait_until(lambda: "Waiting for it." in worker.last_lines(), 30)
    (line,) = [line for line in worker.last_lines().splitlines() if "Waiting for it." in line]
    assert " WARNING " in line


def test_neither_a_server_nor_a_database_is_said_too(services: Services) -> None:
    child = services.start("lost", "worker", "--executor", "simulated", without=("QGJOB_DATABASE_URL",))
    assert child.process.wait(60) == 2
    assert "--server" in child.last_lines()


def test_a_long_polled_claim_is_answered_when_work_comes(engine: Engine, services: Services) -> None:
    url = services.api()
    worker, device = engine.drive()
    body = {"device_id": device, "wait": 60, "target": "emulator"}
    with ThreadPoolExecutor(1) as pool:
        claim = pool.submit(httpx.post, f"{url}/workers/{worker}/claims", json=body, timeout=90, trust_env=False)
        assert wait_until(lambda: engine.value("select exists (select from qgjob.waiting_device)"), 30)
        assert not claim.done()
        run = engine.submit("a.js")
        batch = claim.result(60).json()
    assert [job["job_id"] for job in batch["jobs"]] == list(run.job_ids)


def test_a_client_that_has_gone_claims_nothing(engine: Engine, services: Services) -> None:
    url = services.api()
    worker, device = engine.drive()
    other = engine.drive("phone-2", target="device")
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{url}/workers/{worker}/claims", json={"device_id": device, "wait": 60}, timeout=2, trust_env=False)
    assert engine.value("select exists (select from qgjob.waiting_device where device_id = %s)", device)
    assert services.get("/health")  # what came before this has arrived
    (job_id,) = engine.submit("a.js").job_ids
    engine.submit({"test_path": "b.js", "target": "device"})
    assert engine.claim(other).jobs
    assert services.get("/health")
    assert engine.job(job_id).status == "pending"


def test_a_long_polled_heartbeat_tells_at_once_what_is_new_and_nothing_twice(
    engine: Engine, services: Services
) -> None:
    url = services.api()
    driver = engine.drive()
    run = engine.submit("a.js")
    lease = engine.claim(driver).lease
    engine.start(lease, run.job_ids[0])

    def beat(**body: Any) -> Any:
        answer = httpx.post(f"{url}/workers/{driver.worker_id}/heartbeat", json=body, timeout=90, trust_env=False)
        return answer.raise_for_status().json()

    first = beat(wait=60)
    assert (first["leases"], first["stop_jobs"]) == ([lease], [])
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(beat, wait=60, seen=first["seen"])
        assert not waiting.done()
        engine.call("cancel_run", run_id=run.run_id)
        news = waiting.result(30)
    assert news["stop_jobs"] == list(run.job_ids)
    assert beat(wait=0.1, seen=news["seen"]) == news
    assert beat(wait=60, seen="") == news, "who has seen nothing is told at once"


@pytest.mark.parametrize(
    ("key", "status", "kind"),
    [
        ("attempts/other/{job}/1/1-a.txt", 422, "file_is_of_the_job"),
        ("attempts/acme/{job}/1/../../1-a.txt", 422, "file_is_of_the_job"),
        ("builds/acme/secret.apk", 422, "file_is_of_the_job"),
        ("attempts/acme/{job}/1/1-a.txt", 200, None),
    ],
)
def test_a_report_names_only_files_of_its_job(
    engine: Engine, services: Services, key: str, status: int, kind: str | None
) -> None:
    url = services.api()
    (job_id,) = engine.submit("a.js").job_ids
    lease = engine.claim(engine.drive()).lease
    engine.start(lease, job_id)
    file = {"name": "a.txt", "content_type": "text/plain", "size": 1, "key": key.format(job=job_id)}
    report = {"lease": lease, "status": "completed", "result": {"success": True, "files": [file]}}
    answer = httpx.put(f"{url}/jobs/{job_id}", json=report, trust_env=False)
    assert (answer.status_code, answer.json().get("type")) == (status, kind and f"urn:qgjob:{kind}")
    assert engine.job(job_id).status == ("completed" if status == 200 else "running")


def test_files_are_kept_under_a_lease_that_is_held_and_while_they_are_small_enough(
    engine: Engine, services: Services, tmp_path: Path
) -> None:
    url = services.api(QGJOB_ATTEMPT_MB="1")
    (job_id,) = engine.submit("a.js").job_ids
    lease = engine.claim(engine.drive()).lease
    engine.start(lease, job_id)

    def put(attempt: int, content: bytes, **params: Any) -> tuple[int, str]:
        answer = httpx.put(
            f"{url}/jobs/{job_id}/artifacts/{attempt}/1", params={"lease": lease, "name": "../a", **params},
            content=content, headers={"content-type": "application/octet-stream"}, trust_env=False, timeout=30,
        )  # fmt: skip
        told = answer.json()
        return answer.status_code, told.get("key") or told["type"]

    assert put(1, b"x", lease=lease + 1) == (409, "urn:qgjob:lease_is_held")
    assert put(2, b"x") == (409, "urn:qgjob:attempt_is_running")
    assert put(1, b"x" * 1_000_001) == (413, "urn:qgjob:file_is_small_enough")
    assert not list((tmp_path / "store").rglob("*-*"))
    assert put(1, b"x") == (200, f"attempts/acme/{job_id}/1/1-.._a")
    assert put(1, b"y") == (200, f"attempts/acme/{job_id}/1/1-.._a"), "it may be sent again"
    assert [path.read_bytes() for path in (tmp_path / "store").rglob("1-*")] == [b"y"]
