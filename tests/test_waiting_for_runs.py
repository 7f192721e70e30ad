"""A waiting request is answered when something changes, with or without LISTEN, and never misses the end."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.error import HTTPError

import pytest
from engine import Engine
from processes import Services

from qgjob.children import wait_until


@pytest.mark.parametrize("listen_url", ["direct", ""])
def test_the_answer_comes_with_the_change(engine: Engine, services: Services, listen_url: str) -> None:
    environment = {"QGJOB_LISTEN_URL": listen_url} if listen_url == "" else {}
    services.api(**environment)
    run = engine.submit("a.js")
    seen = services.get(f"/runs/{run.run_id}")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(services.get, f"/runs/{run.run_id}?wait=30&after_seq={seen['seq']}")
        assert wait_until(lambda: engine.value("select watched_until is not null from qgjob.run"), 30)
        assert not waiting.done()
        batch = engine.claim(engine.drive())
        answer = waiting.result(30)
    assert answer["seq"] > seen["seq"]
    assert answer["queued"] == 1
    engine.run_job(batch.lease, run.job_ids[0])
    assert services.get(f"/runs/{run.run_id}?wait=30&after_seq=1000")["status"] == "completed"


def test_nothing_changed_is_answered_after_the_wait(engine: Engine, services: Services) -> None:
    services.api()
    run = engine.submit("a.js")
    seen = services.get(f"/runs/{run.run_id}")
    assert services.get(f"/runs/{run.run_id}?wait=0.2&after_seq={seen['seq']}") == seen


def ask_again(services: Services, path: str) -> Any:
    """As clients do: a connection that was cut under a statement is a 503, which decides nothing."""
    while True:
        try:
            return services.get(path)
        except HTTPError as error:
            error.close()
            if error.code != 503:
                raise


def test_waiting_goes_on_when_postgresql_drops_its_connections(engine: Engine, services: Services) -> None:
    services.api()
    run = engine.submit("a.js")
    seq = services.get(f"/runs/{run.run_id}")["seq"]
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ask_again, services, f"/runs/{run.run_id}?wait=30&after_seq={seq}")
        assert wait_until(lambda: engine.value("select watched_until is not null from qgjob.run"), 30)
        engine.rows(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where datname = current_database() and application_name = 'qgjob' and state = 'idle'"
        )
        engine.call("cancel_job", job_id=run.job_ids[0])
        assert waiting.result(30)["status"] == "cancelled"
