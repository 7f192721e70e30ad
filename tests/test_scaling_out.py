"""Any number of API and worker processes on one database: nothing is lost or twice, no build is installed again."""

import json
from concurrent.futures import ThreadPoolExecutor
from urllib.request import Request, urlopen

from engine import Engine
from processes import Services

from qgjob.children import wait_until

BUILDS, JOBS = 10, 50


def submit(url: str, build: int) -> int:
    body = {
        "org_id": "acme",
        "app_version_id": f"v{build}",
        "jobs": [{"test_path": f"tests/{number}.spec.js"} for number in range(JOBS)],
    }
    request = Request(f"{url}/runs", json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urlopen(request, timeout=60) as answer:
        run: int = json.load(answer)["run_id"]
    return run


def test_three_apis_and_four_workers_share_five_hundred_jobs(engine: Engine, services: Services) -> None:
    urls = [services.api(f"api-{number}") for number in range(3)]
    for number in range(4):
        services.worker(
            f"worker-{number}", "--devices", "2", "--setting", "duration_s=0.01", "--backend-setting", "install_s=0.1"
        )
    with ThreadPoolExecutor(6) as pool:
        runs = list(pool.map(submit, (urls[build % 3] for build in range(BUILDS)), range(BUILDS)))
    assert wait_until(lambda: all(engine.run(run).finished_at for run in runs), 120)

    assert [engine.run(run).completed for run in runs] == [JOBS] * BUILDS
    assert engine.value("select count(*) from qgjob.attempt") == BUILDS * JOBS
    assert engine.value("select count(*) from (select distinct job_id from qgjob.attempt) as jobs") == BUILDS * JOBS
    batches = engine.rows(
        "select installed, app_version_id is not distinct from lag(app_version_id) over "
        "(partition by device order by batch_id) as same from reporting.batches"
    )
    assert {(batch.installed, batch.same) for batch in batches} <= {(True, False), (False, True)}
    assert sum(batch.installed for batch in batches) < BUILDS * JOBS / 4
    assert (
        engine.value("select count(*) from qgjob.batch where ended_at is null and claimed_at < now() - interval '1 h'")
        == 0
    )


def test_one_submission_after_the_other_is_one_install(engine: Engine, services: Services) -> None:
    """Of two idle devices it is the one that has the build which takes the next, whichever asks first."""
    services.worker("lab", "--devices", "3", "--setting", "duration_s=0.01", "--backend-setting", "install_s=5")
    for number in range(8):
        run = engine.submit(f"{number}.js").run_id
        assert wait_until(lambda run=run: engine.run(run).finished_at, 30)
    assert engine.value("select count(*) from reporting.batches where installed") == 1
