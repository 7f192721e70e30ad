"""A token that is revoked while somebody waits with it opens nothing more: streams end, and who waits is refused."""

from concurrent.futures import ThreadPoolExecutor

import httpx
from callers import ask, asking, token
from engine import Engine
from processes import Services

from qgjob.children import wait_until


def revoke(engine: Engine, url: str, shown: str) -> None:
    """At the database, as another process would; until this one has noticed."""
    engine.connection.execute(
        "update qgjob.api_token set revoked_at = qgjob.now() "
        "where token_id = (select max(token_id) from qgjob.api_token)"
    )
    assert wait_until(lambda: ask(f"{url}/jobs", shown).status == 401, 30)


def listened(url: str, shown: str) -> list[str]:
    """What a stream says until the server ends it."""
    with httpx.stream("GET", url, headers={"Authorization": f"Bearer {shown}"}, timeout=60, trust_env=False) as stream:
        assert stream.status_code == 200
        return [line for line in stream.iter_lines() if line.startswith(("id:", ":"))]


def is_watched(engine: Engine, count: int) -> bool:
    return bool(engine.value("select count(*) from qgjob.run where watched_until is not null") == count)


def test_a_stream_ends_with_the_token_it_was_opened_with(engine: Engine, services: Services) -> None:
    url = asking(services)
    changing, quiet = engine.submit("a.js"), engine.submit("b.js")
    kept, shown = token(engine, "read", org="acme"), token(engine, "read", org="acme")
    with ThreadPoolExecutor(4) as pool:
        of_job = pool.submit(listened, f"{url}/jobs/{changing.job_ids[0]}/events", shown)
        of_run, still = (pool.submit(listened, f"{url}/runs/{changing.run_id}/events", one) for one in (shown, kept))
        of_quiet = pool.submit(listened, f"{url}/runs/{quiet.run_id}/events", shown)
        assert wait_until(lambda: is_watched(engine, 2), 30)
        revoke(engine, url, shown)
        engine.call("cancel_run", run_id=changing.run_id)
        assert len(still.result(30)) == 2
        assert [len(ended.result(30)) for ended in (of_job, of_run)] == [1, 1]
        assert len(of_quiet.result(30)) == 1, "with the next heartbeat at the latest"


def test_a_long_poll_is_refused_when_its_token_is_revoked_meanwhile(engine: Engine, services: Services) -> None:
    url = asking(services)
    run = engine.submit({"test_path": "a.js", "target": "device"})
    shown = token(engine, "read", org="acme")
    with ThreadPoolExecutor(2) as pool:
        waiting = [
            pool.submit(ask, f"{url}{path}?wait=25&after_seq={ask(url + path, shown).body['seq']}", shown)
            for path in (f"/runs/{run.run_id}", f"/jobs/{run.job_ids[0]}")
        ]
        assert wait_until(lambda: is_watched(engine, 1), 30)
        revoke(engine, url, shown)
        engine.call("cancel_run", run_id=run.run_id)
        assert [poll.result(30).status for poll in waiting] == [401, 401]


def test_a_worker_is_given_nothing_when_its_token_is_revoked_meanwhile(engine: Engine, services: Services) -> None:
    url = asking(services)
    worker, device = engine.drive()
    shown = token(engine, "work")
    of_worker = f"{url}/workers/{worker}"
    beat = {"wait": 25, "seen": ask(f"{of_worker}/heartbeat", shown, {}).body["seen"]}
    claim = {"device_id": device, "wait": 25, "target": "emulator"}
    with ThreadPoolExecutor(2) as pool:
        waiting = [
            pool.submit(ask, f"{of_worker}/heartbeat", shown, beat),
            pool.submit(ask, f"{of_worker}/claims", shown, claim),
        ]
        assert wait_until(lambda: engine.value("select exists (select from qgjob.waiting_device)"), 30)
        revoke(engine, url, shown)
        engine.submit("a.js")
        engine.call("drain_worker", worker_id=worker)
        assert [poll.result(30).status for poll in waiting] == [401, 401]
    assert engine.value("select count(*) from qgjob.batch") == 0
