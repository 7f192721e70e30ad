"""A run that was submitted for a waiting client ends when that client is lost, and only then."""

import threading

import pytest
from engine import Engine, refused
from psycopg.types.json import Jsonb

from qgjob.children import wait_until

TIMEOUT_S = 60


def held(engine: Engine, *jobs: str, **options: object) -> int:
    """A run whose client says every minute that it is there; the API has been watching for long."""
    listed = Jsonb([{"test_path": job} for job in jobs])
    run = engine.call(
        "submit_run", client_timeout_s=TIMEOUT_S, org_id="acme", app_version_id="v1", jobs=listed, **options
    )
    watching(engine, since="1 hour")
    return int(run.run_id)


def watching(engine: Engine, *, since: str = "1 hour", checked: str = "0") -> None:
    """As if an API process had looked for lost clients since then, and last that long ago."""
    engine.rows(
        "insert into qgjob.client_watch (since, checked_at) "
        "values (qgjob.now() - %s::interval, qgjob.now() - %s::interval) "
        "on conflict (only_row) do update set since = excluded.since, checked_at = excluded.checked_at returning 1",
        since,
        checked,
    )


def silent(engine: Engine, run_id: int) -> None:
    """The client was last heard of before its time."""
    engine.rows(
        "update qgjob.run set client_until = qgjob.now() - interval '1 s' where run_id = %s returning 1", run_id
    )


def cancelled(engine: Engine) -> int:
    return int(engine.call("cancel_lost_clients")[0])


def test_a_run_whose_client_is_silent_is_cancelled_and_says_why(engine: Engine) -> None:
    run_id, other = held(engine, "a.js", "b.js"), held(engine, "c.js")
    assert cancelled(engine) == 0
    silent(engine, run_id)
    assert cancelled(engine) == 1
    assert cancelled(engine) == 0
    ended = engine.run(run_id)
    assert (ended.status, ended.cancelled, ended.lost_client) == ("cancelled", 2, True)
    assert (engine.run(other).status, engine.run(other).lost_client) == ("pending", False)


def test_a_client_that_says_that_it_is_there_keeps_its_run(engine: Engine) -> None:
    run_id = held(engine, "a.js")
    silent(engine, run_id)
    engine.call("hold_run", run_id=run_id, client_timeout_s=TIMEOUT_S)
    assert cancelled(engine) == 0


def test_a_client_that_waits_writes_seldom(engine: Engine) -> None:
    run_id = held(engine, "a.js")
    before = engine.value("select client_until from qgjob.run")
    engine.call("hold_run", run_id=run_id, client_timeout_s=TIMEOUT_S)
    assert engine.value("select client_until from qgjob.run") == before
    engine.move_clock(TIMEOUT_S / 2)
    engine.call("hold_run", run_id=run_id, client_timeout_s=TIMEOUT_S)
    assert engine.value("select client_until from qgjob.run") > before


def test_a_run_that_was_detached_goes_on(engine: Engine) -> None:
    run_id = held(engine, "a.js")
    silent(engine, run_id)
    assert engine.call("detach_run", run_id=run_id).status == "pending"
    assert cancelled(engine) == 0
    with refused("run_exists"):
        engine.call("detach_run", run_id=run_id, org_id="globex")


def test_runs_without_a_client_are_not_looked_at(engine: Engine) -> None:
    engine.submit("a.js")
    assert cancelled(engine) == 0
    assert engine.rows("select from qgjob.client_watch") == []


@pytest.mark.parametrize("gap", ["11 s", "-1 hour"])
def test_no_client_is_lost_while_nobody_could_hear_it(engine: Engine, gap: str) -> None:
    """No API process was up for a while, or the clock went back: everybody gets the whole time again."""
    run_id = held(engine, "a.js")
    silent(engine, run_id)
    watching(engine, since="1 hour", checked=gap)
    assert cancelled(engine) == 0
    watching(engine, since=f"{TIMEOUT_S + 1} s")
    assert cancelled(engine) == 1


def test_a_client_that_comes_back_at_the_last_moment_keeps_its_run(engine: Engine) -> None:
    run_id = held(engine, "a.js")
    silent(engine, run_id)
    with engine.another() as client, engine.another() as watch:
        client.connection.autocommit = False
        client.call("hold_run", run_id=run_id, client_timeout_s=TIMEOUT_S)
        found: list[int] = []
        thread = threading.Thread(target=lambda: found.append(cancelled(watch)))
        thread.start()
        assert wait_until(lambda: engine.value("select count(*) from pg_locks where not granted") > 0, 30)
        client.connection.commit()
        thread.join(30)
        client.connection.autocommit = True
    assert found == [0]
    assert engine.run(run_id).status == "pending"


def test_two_watchers_cancel_a_run_once(engine: Engine) -> None:
    run_id = held(engine, "a.js")
    silent(engine, run_id)
    with engine.another() as first, engine.another() as second:
        first.connection.autocommit = False
        assert cancelled(first) == 1
        assert cancelled(second) == 0  # at once: it does not wait for the other
        first.connection.commit()
        assert cancelled(second) == 0
        first.connection.autocommit = True


def test_what_others_wait_for_goes_on_without_the_lost_client(engine: Engine) -> None:
    run_id = held(engine, "a.js")
    other = engine.submit("a.js")
    silent(engine, run_id)
    assert cancelled(engine) == 1
    assert engine.run(run_id).status == "cancelled"
    assert engine.run(other.run_id).status == "pending"


def test_results_that_were_there_stay(engine: Engine) -> None:
    run_id = held(engine, "a.js", "b.js")
    batch = engine.claim(engine.drive())
    engine.run_job(batch.lease, batch.jobs[0]["job_id"])
    engine.release(batch.lease)
    silent(engine, run_id)
    assert cancelled(engine) == 1
    assert (engine.run(run_id).completed, engine.run(run_id).cancelled) == (1, 1)


def test_an_ended_run_is_nobodys_any_more(engine: Engine) -> None:
    run_id = held(engine, "a.js")
    engine.run_all(engine.drive())
    silent(engine, run_id)
    assert cancelled(engine) == 0
    assert engine.run(run_id).status == "completed"


def test_a_repeated_submission_finds_its_run_held(engine: Engine) -> None:
    run_id = held(engine, "a.js", idempotency_key="k")
    silent(engine, run_id)
    assert held(engine, "a.js", idempotency_key="k") == run_id
    assert cancelled(engine) == 0


def test_a_retry_may_have_a_client_too(engine: Engine) -> None:
    first = engine.submit("a.js")
    engine.call("cancel_run", run_id=first.run_id)
    again = engine.call("retry_run", run_id=first.run_id, client_timeout_s=TIMEOUT_S)
    assert engine.value("select client_timeout_s from qgjob.run where run_id = %s", again.run_id) == TIMEOUT_S


@pytest.mark.parametrize("timeout_s", [9, 86_401, None])
def test_a_client_says_within_reason_that_it_is_there(engine: Engine, timeout_s: int | None) -> None:
    run = engine.submit("a.js")
    with refused("client_timeout_in_range"):
        engine.call("hold_run", run_id=run.run_id, client_timeout_s=timeout_s)
