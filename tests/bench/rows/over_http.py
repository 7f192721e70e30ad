"""Through one API process: one job a request beside a bare Litestar route, many jobs a request, and pick-up."""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count as numbers
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import psycopg
from processes import Services

from bench.http_load import Body, rate_of_posts
from bench.lab import CHECKOUT, Lab
from bench.queues.floor import TABLE
from bench.queues.idle import pause_s
from bench.records import Record, record
from bench.rounds import Measured, alternate, in_ms
from qgjob import tokens
from qgjob.children import free_port, wait_until

CONNECTIONS = 32


def measure(lab: Lab) -> Iterator[Record]:
    with lab.database("over_http", migrated=True) as url, services(url) as running:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(TABLE)
        api = running.api()
        asking = running.api("asking", QGJOB_AUTH="required")
        yield from one_job_a_request(lab, api, bare_route(running), asking, new_token(url))
        yield from many_jobs_a_request(lab, api)
    with lab.database("http_pick_up", migrated=True) as url, services(url) as running:
        yield from pick_up(lab, running)


@contextmanager
def services(url: str) -> Iterator[Services]:
    with TemporaryDirectory() as folder, Services(url, Path(folder)) as running:
        yield running


def new_token(url: str) -> str:
    """One that opens submitting to an organisation of its own."""
    token = tokens.new_token()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "select qgjob.create_token(p_hash => %s, p_hint => %s, p_name => 'bench', p_scopes => '{submit}', "
            "p_org_id => 'shown')", (tokens.hashed(token), tokens.hint(token)))  # fmt: skip
    return token


def bare_route(running: Services) -> str:
    port = free_port()
    child = running.start("bare", "bench.bare_route", str(port), PYTHONPATH=str(CHECKOUT / "tests"))
    assert wait_until(lambda: not child.running or "running on" in child.last_lines(), 60), child.last_lines()
    return f"http://127.0.0.1:{port}"


def one_job_a_request(lab: Lab, api: str, bare: str, asking: str, token: str) -> Iterator[Record]:
    paths = numbers(1)

    def spread() -> object:
        number = next(paths)
        org, build = f"org{number % 20}", f"v{number // 20 % 10}"
        return {"org_id": org, "app_version_id": build, "test_path": f"tests/{number}.spec.ts"}

    def hot() -> object:
        return {"org_id": "hot", "app_version_id": "v1", "test_path": f"tests/{next(paths)}.spec.ts"}

    def shown() -> object:
        number = next(paths)
        return {"org_id": "shown", "app_version_id": f"v{number % 200}", "test_path": f"tests/{number}.spec.ts"}

    taken = alternate({
        "spread": partial(posts, f"{api}/jobs", spread, lab),
        "hot": partial(posts, f"{api}/jobs", hot, lab),
        "bare route": partial(posts, f"{bare}/jobs", spread, lab),
        "shown": partial(posts, f"{asking}/jobs", shown, lab, token),
    }, lab.scale.rounds)  # fmt: skip
    rates = {name: quantities["rate"] for name, quantities in taken.items()}
    yield record("over-http", f"POST /jobs into 200 groups, {CONNECTIONS} connections", "/s", rates["spread"],
                 peers={"bare route": rates["bare route"]}, against="bare route", bar="≥ 0.6 of a bare route",
                 met=lambda _, ratio: ratio >= 0.6)  # fmt: skip
    yield record("over-http", f"POST /jobs into one hot group, {CONNECTIONS} connections", "/s", rates["hot"],
                 peers={"200 groups": rates["spread"], "bare route": rates["bare route"]}, against="200 groups",
                 bar="the same as into many groups", met=lambda _, ratio: ratio >= 0.8)  # fmt: skip
    yield record("over-http", f"POST /jobs with a token, {CONNECTIONS} connections", "/s", rates["shown"],
                 peers={"without": rates["spread"], "bare route": rates["bare route"]}, against="without")  # fmt: skip


def posts(url: str, body: Body, lab: Lab, token: str | None = None) -> Measured:
    return {"rate": rate_of_posts(url, body, CONNECTIONS, lab.scale.seconds, token)}


def many_jobs_a_request(lab: Lab, api: str) -> Iterator[Record]:
    jobs = [{"test_path": f"tests/{number}.spec.ts"} for number in range(lab.scale.run_jobs)]
    builds = numbers(1)

    def submit() -> Measured:
        body = {"org_id": "submitter", "app_version_id": f"v{next(builds)}", "jobs": jobs}
        begin = time.perf_counter()
        rate_of_posts(f"{api}/runs", lambda: body, 1, 0)
        return {"jobs/s": len(jobs) / (time.perf_counter() - begin)}

    taken = alternate({"qgjob": submit}, lab.scale.rounds)["qgjob"]["jobs/s"]
    yield record("over-http", f"POST /runs of {len(jobs):,} jobs", "jobs/s", taken, bar="≥ 25 k jobs/s",
                 met=lambda value, _: value >= 25_000)  # fmt: skip


def pick_up(lab: Lab, running: Services) -> Iterator[Record]:
    """By the clock of the database's machine, which is this one."""
    running.worker("worker", "--setting", "duration_s=0")
    api = running.api()
    with (
        httpx.Client(base_url=api, timeout=30) as client,
        psycopg.connect(running.database_url, autocommit=True) as connection,
    ):
        taken = alternate({
            "qgjob": lambda: in_ms([request_to_running(client, connection) for _ in range(lab.scale.pick_ups)]),
        }, lab.scale.rounds)["qgjob"]  # fmt: skip
    yield record("over-http", "request → running, p50", "ms", taken["p50"], bar="≤ 10 ms",
                 met=lambda value, _: value <= 10)  # fmt: skip
    yield record("over-http", "request → running, p99", "ms", taken["p99"])


def request_to_running(client: httpx.Client, connection: "psycopg.Connection[tuple[float]]") -> float:
    """Seconds, for a job that nobody has submitted before, on a device that has its build and waits."""
    time.sleep(pause_s())
    begin = time.time()
    job = client.post("/jobs", json={
        "org_id": "acme", "app_version_id": "v1", "test_path": f"tests/{random.random()}.spec.ts",
    }).raise_for_status().json()  # fmt: skip
    run = client.get(f"/runs/{job['run_id']}").json()
    while run["finished_at"] is None:
        run = client.get(f"/runs/{job['run_id']}", params={"wait": 10, "after_seq": run["seq"]}).json()
    row = connection.execute(
        "select extract(epoch from started_at)::float from qgjob.job where job_id = %s", (job["job_id"],)
    ).fetchone()
    assert row
    return row[0] - begin
