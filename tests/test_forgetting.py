"""Results that are older than their organisation keeps them are deleted, and nothing else is."""

import httpx
import pytest
from engine import Driver, Engine, refused
from invariants import assert_all
from processes import Services
from psycopg.types.json import Jsonb
from test_plans import rows_read
from test_races import Session, after, held, second  # noqa: F401 - a fixture

from qgjob.children import wait_until

DAY_S = 86_400
KEPT = ("run", "job_of_run", "job", "attempt", "batch")


def keep(engine: Engine, days: int | None, org: str = "acme") -> None:
    engine.call("change_org", org_id=org, changes={"keep_days": days})


def forget(engine: Engine) -> int:
    return int(engine.call("forget_runs")[0])


def forget_all(engine: Engine) -> None:
    while forget(engine):
        pass


def counts(engine: Engine, org: str = "acme") -> dict[str, int]:
    """Rows of each kind that the organisation has."""
    own = {"job_of_run": "job_of_run join qgjob.run using (run_id)"}
    return {
        table: engine.value(f"select count(*) from qgjob.{own.get(table, table)} where org_id = %s", org)
        for table in KEPT
    }


def ended(engine: Engine, driver: Driver, *paths: str, org: str = "acme") -> int:
    """A run of these, all of which have passed."""
    run = engine.submit(*paths, org=org)
    engine.run_all(driver)
    assert engine.counts(run.run_id) == (0, True)
    return int(run.run_id)


def test_nothing_is_forgotten_unless_somebody_says_so(engine: Engine) -> None:
    ended(engine, engine.drive(), "a.js", "b.js")
    before = counts(engine)
    engine.move_clock(1000 * DAY_S)
    assert forget(engine) == 0
    assert counts(engine) == before
    assert min(before.values()) > 0


def test_what_ended_too_long_ago_goes_with_all_it_left(engine: Engine) -> None:
    driver = engine.drive()
    old = ended(engine, driver, "a.js", "b.js")
    keep(engine, 30)
    engine.move_clock(20 * DAY_S)
    young = ended(engine, driver, "c.js")
    ended(engine, driver, "a.js", org="globex")
    waiting = engine.submit("d.js", build="v2").run_id
    engine.move_clock(11 * DAY_S)
    learned = engine.value("select count(*) from qgjob.test_timing where org_id = 'acme'")

    forget_all(engine)
    assert [run_id for (run_id,) in engine.rows("select run_id from qgjob.list_runs('acme')")] == [waiting, young]
    with refused("run_exists"):
        engine.run(old)
    assert counts(engine) == {"run": 2, "job_of_run": 2, "job": 2, "attempt": 1, "batch": 1}
    assert min(counts(engine, "globex").values()) == 1
    assert engine.run(young).completed == 1
    # What is learned, and what groups and builds are called, serves the runs to come.
    assert engine.value("select count(*) from qgjob.test_timing where org_id = 'acme'") == learned > 0
    assert engine.value("select count(*) from qgjob.build where org_id = 'acme'") == 2
    engine.move_clock(20 * DAY_S)
    forget_all(engine)
    assert counts(engine) == {"run": 1, "job_of_run": 1, "job": 1, "attempt": 0, "batch": 0}
    engine.run_all(driver)
    assert engine.counts(waiting) == (0, True)


def test_a_job_that_several_runs_waited_for_goes_with_the_last_of_them(engine: Engine) -> None:
    driver = engine.drive()
    first = engine.submit("shared.js", "own.js")
    engine.move_clock(10 * DAY_S)
    second_run = engine.submit("shared.js", "slow.js", build="v1")
    assert second_run.deduplicated == 1
    engine.call("cancel_run", run_id=first.run_id)  # leaves the shared job to the other run
    keep(engine, 30)
    engine.move_clock(29 * DAY_S)
    engine.run_all(driver)
    engine.move_clock(2 * DAY_S)
    forget_all(engine)
    with refused("run_exists"):
        engine.run(first.run_id)
    assert engine.run(second_run.run_id).completed == 2
    assert counts(engine)["job"] == 2
    engine.move_clock(30 * DAY_S)
    forget_all(engine)
    assert set(counts(engine).values()) == {0}


def test_a_job_outlives_the_run_that_created_it(engine: Engine) -> None:
    driver = engine.drive()
    first = engine.submit("shared.js")
    later = engine.submit("shared.js", "slow.js")
    (shared,) = first.job_ids
    batch = engine.claim(driver, max_jobs=1)
    engine.run_job(batch.lease, shared)
    engine.release(batch.lease)
    engine.move_clock(10 * DAY_S)
    engine.run_all(driver)
    keep(engine, 30)
    assert engine.job(shared).run_id == first.run_id
    engine.move_clock(21 * DAY_S)
    forget_all(engine)
    with refused("run_exists"):
        engine.run(first.run_id)
    assert engine.run(later.run_id).completed == 2
    assert engine.job(shared).run_id == later.run_id
    listed = engine.rows("select job_id from qgjob.list_jobs(p_run_id => %s)", later.run_id)
    assert [job_id for (job_id,) in listed] == sorted(later.job_ids, reverse=True)
    assert_all(engine)
    engine.move_clock(30 * DAY_S)
    forget_all(engine)
    assert set(counts(engine).values()) == {0}


def test_a_batch_that_ran_nothing_is_forgotten_too(engine: Engine) -> None:
    driver = engine.drive()
    run = engine.submit("a.js")
    engine.release(engine.claim(driver).lease)
    keep(engine, 1)
    engine.move_clock(2 * DAY_S)
    forget_all(engine)
    assert counts(engine) == {"run": 1, "job_of_run": 1, "job": 1, "attempt": 0, "batch": 0}
    engine.run_all(driver)
    assert engine.counts(run.run_id) == (0, True)


def test_the_batch_of_an_attempt_that_is_kept_is_kept(engine: Engine) -> None:
    driver = engine.drive()
    run = engine.submit({"test_path": "a.js", "retries": 1}, "b.js")
    batch = engine.claim(driver, max_jobs=1)
    engine.run_job(batch.lease, batch.jobs[0]["job_id"], "failed", "test")
    engine.release(batch.lease)
    keep(engine, 1)
    engine.move_clock(2 * DAY_S)  # and the run goes on
    forget_all(engine)
    assert counts(engine)["batch"] == counts(engine)["attempt"] == 1
    assert engine.run(run.run_id).attempts == 1


def test_a_schedule_survives_its_last_run(engine: Engine) -> None:
    driver = engine.drive()
    engine.submit("a.js")
    schedule = engine.call("add_schedule", org_id="acme", name="nightly", jobs=Jsonb([{"test_path": "a.js"}]),
                           cron="0 2 * * *", time_zone="UTC")  # fmt: skip
    run = engine.call("run_schedule", schedule_id=schedule.schedule_id)
    engine.rows("update qgjob.schedule set last_run_id = %s returning 1", run.run_id)
    engine.run_all(driver)
    keep(engine, 1)
    engine.move_clock(2 * DAY_S)
    forget_all(engine)
    assert set(counts(engine).values()) == {0}
    assert engine.call("get_schedule", schedule_id=schedule.schedule_id).last_run_id is None


def test_a_key_may_be_used_again_when_its_run_is_forgotten(engine: Engine) -> None:
    driver = engine.drive()
    run = engine.submit("a.js", idempotency_key="k")
    engine.run_all(driver)
    keep(engine, 1)
    engine.move_clock(2 * DAY_S)
    assert engine.submit("a.js", idempotency_key="k").run_id == run.run_id
    forget_all(engine)
    again = engine.submit("a.js", idempotency_key="k")
    assert not again.replayed
    assert again.run_id != run.run_id


def test_much_is_forgotten_a_little_at_a_time_and_the_oldest_first(engine: Engine) -> None:
    driver = engine.drive()
    runs = [engine.submit(*(f"{number}/{test}.js" for test in range(900))).run_id for number in range(4)]
    for lease in iter(lambda: engine.claim(driver, max_jobs=900), None):
        results = Jsonb([{"job_id": job["job_id"], "status": "completed"} for job in lease.jobs])
        engine.call("finish_jobs", lease=lease.lease, results=results)
        engine.release(lease.lease)
        engine.move_clock(60)
    keep(engine, 1)
    engine.move_clock(2 * DAY_S)
    forget(engine)
    left = [run_id for (run_id,) in engine.rows("select run_id from qgjob.run order by finished_at")]
    assert left == runs[3:]
    forget_all(engine)
    assert set(counts(engine).values()) == {0}


def test_looking_for_what_is_too_old_reads_no_history(engine: Engine) -> None:
    driver = engine.drive()
    for round_ in range(30):
        ended(engine, driver, *(f"{round_}/{test}.js" for test in range(10)))
    keep(engine, 30)
    engine.connection.execute("analyze")
    forgotten, read = rows_read(engine, lambda: forget(engine))
    assert forgotten == 0
    assert not read.keys() & {"job", "attempt", "run_job"}
    assert read.get("run", 0) + read.get("batch", 0) <= 2


def test_two_do_not_forget_at_the_same_time(engine: Engine) -> None:
    old_run(engine)
    with engine.another() as other:
        other.move_clock(2 * DAY_S)
        with held(other):
            assert forget(other) > 0
            assert forget(engine) == 0
    assert set(counts(engine).values()) == {0}


def test_a_run_that_is_being_forgotten_cannot_be_retried(engine: Engine, second: Session) -> None:  # noqa: F811
    run_id = old_run(engine)
    with held(engine):
        forget(engine)
        retried = second.blocked(lambda session: session.call("retry_run", run_id=run_id, only="all"))
    with refused("job_exists"):
        after(retried)
    assert set(counts(engine).values()) == {0}


def test_a_run_that_is_being_retried_is_forgotten_later(engine: Engine, second: Session) -> None:  # noqa: F811
    run_id = old_run(engine)
    second.engine.move_clock(2 * DAY_S)
    with held(engine):
        again = engine.call("retry_run", run_id=run_id, only="all")
        forgotten = second.blocked(forget)
    assert after(forgotten) > 0
    with refused("run_exists"):
        engine.run(run_id)
    engine.run_all(engine.drive())
    assert engine.run(again.run_id).completed == 2


def test_nobody_who_submits_waits_for_what_is_being_forgotten(engine: Engine, second: Session) -> None:  # noqa: F811
    old_run(engine)
    with held(engine):
        forget(engine)
        run = after(second.begin(lambda session: session.submit("a.js", "b.js")))
    engine.run_all(engine.drive())
    assert engine.run(run.run_id).completed == 2


def old_run(engine: Engine) -> int:
    """One of two jobs that may be forgotten by now."""
    run_id = ended(engine, engine.drive(), "a.js", "b.js")
    keep(engine, 1)
    engine.move_clock(2 * DAY_S)
    return run_id


@pytest.mark.parametrize("days", [0, -1, 36_501])
def test_a_time_that_means_nothing_is_refused(engine: Engine, days: int) -> None:
    engine.call("create_org", org_id="acme")
    with refused("keep_days_in_range"):
        keep(engine, days)


def test_an_api_process_forgets_by_itself(engine: Engine, services: Services) -> None:
    ended(engine, engine.drive(), "a.js")
    keep(engine, 7)
    engine.rows("update qgjob.run set finished_at = now() - interval '8 days' returning 1")
    engine.rows("update qgjob.batch set ended_at = now() - interval '8 days' returning 1")
    url = services.api()
    assert wait_until(lambda: set(counts(engine).values()) == {0}, 30)
    assert httpx.get(f"{url}/orgs/acme").json()["keep_days"] == 7


def test_a_job_that_many_runs_waited_for_is_looked_at_once(engine: Engine) -> None:
    runs = [engine.submit("a.js") for _ in range(200)]
    engine.run_all(engine.drive())
    keep(engine, 1)
    engine.move_clock(2 * DAY_S)
    gone, read = rows_read(engine, lambda: forget(engine))
    assert gone >= len(runs)
    assert read["run_job"] < 5 * len(runs), read
