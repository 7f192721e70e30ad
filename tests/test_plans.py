"""No call reads more rows because many jobs wait: with plans made while the tables were empty, and with
fresh statistics. PostgreSQL counts them in the transaction of the call, so that a lost index shows, however fast it is.
"""

from collections.abc import Callable
from typing import Any

import pytest
from engine import Driver, Engine
from psycopg.types.json import Jsonb

from sql import ENTER

ORGS, BUILDS, JOBS = 40, 10, 50
TEN_THOUSAND_ENDED = """
  with old as (
    insert into qgjob.device (name, target, labels, created_at)
    select 'old-' || number, 'emulator', '{}', qgjob.now() - interval '1 year' from generate_series(1, 100) as number
    returning device_id, name
  ), ended as (
    insert into qgjob.batch (org_id, group_id, build, device_id, worker_id, epoch, install, chosen, claimed_at,
      installed_at, expires_at, ended_at, end_reason)
    select org_id, group_id, build, device_id, worker_id, -number, true, 'first', qgjob.now() - interval '2 hours',
      qgjob.now() - interval '2 hours', qgjob.now(), qgjob.now() - interval '1 hour', 'done'
    from generate_series(1, 1000) as number
    join (
      select *, row_number() over (order by group_id) as place from qgjob.job_group where org_id not in ('org0', 'org1')
    ) as of_group on place = 1 + number % 300
    join old on old.name = 'old-' || 1 + number % 100
    cross join (select worker_id from qgjob.worker limit 1) as worker
    returning *
  ), finished as (
    insert into qgjob.job (run_id, org_id, group_id, test_path, priority, retries, timeout_s, dedupe, predicted_s,
      failed_before, status, attempts, version, created_at, started_at, finished_at)
    select (select min(run_id) from qgjob.run where run.org_id = ended.org_id), org_id, group_id,
      format('tests/old-%s-%s.spec.ts', batch_id, number), 1, 0, 900, true, 30, false, 'completed', 1, 3,
      claimed_at - interval '1 hour', claimed_at, ended_at
    from ended, generate_series(1, 10) as number
    returning *
  )
  insert into qgjob.attempt
    (job_id, number, org_id, batch_id, status, tests, log, started_at, ended_at, files, permanent)
  select job_id, 1, org_id, substring(test_path from 'old-([0-9]+)')::bigint, 'completed', '[]', '', started_at,
    finished_at, '[]', false
  from finished returning 1"""
TOUCHED = """
  select relname, seq_tup_read + coalesce(idx_tup_fetch, 0) from pg_stat_xact_user_tables where schemaname = 'qgjob'"""


def rows_read(engine: Engine, call: Callable[[], Any]) -> tuple[Any, dict[str, int]]:
    """What the call answers, and how many rows of which table it has read."""
    with engine.connection.transaction():
        before = dict(engine.rows(TOUCHED))  # of earlier transactions, not yet told to the statistics collector
        answer = call()
        return answer, {table: rows - before[table] for table, rows in engine.rows(TOUCHED) if rows > before[table]}


@pytest.fixture(params=["plans of empty tables", "fresh statistics"])
def busy(request: pytest.FixtureRequest, engine: Engine) -> tuple[Engine, Driver]:
    """20,000 pending jobs in 400 groups of 40 organisations, and a session that has worked before they came."""
    driver = have_analyzed_nothing(engine)
    use_everything(engine, driver)
    submit_many(engine)
    if request.param == "fresh statistics":
        engine.connection.execute("analyze")
    return engine, driver


def have_analyzed_nothing(engine: Engine) -> Driver:
    engine.to_analyze = 0  # no other statistics than those that this is about
    for table in ("job", "attempt", "batch", "job_group", "run_job", "run", "test_timing", "lane", "device", "worker"):
        engine.connection.execute(f"alter table qgjob.{table} set (autovacuum_enabled = off)".encode())
    return engine.drive()


def submit_many(engine: Engine) -> None:
    for org in range(ORGS):
        for build in range(BUILDS):
            engine.submit(*(f"tests/{n}.spec.ts" for n in range(JOBS)), org=f"org{org}", build=f"v{build}")


def use_everything(engine: Engine, driver: Driver) -> None:
    for round_ in range(8):  # often enough for PostgreSQL to settle on a plan
        engine.submit(f"tests/first-{round_}.spec.ts")
        engine.run_all(driver)
        use_once(engine, driver)


def use_once(engine: Engine, driver: Driver) -> None:
    run = engine.submit("tests/a.spec.ts", "tests/b.spec.ts", "tests/c.spec.ts", build="warm")
    batch = engine.claim(driver)
    engine.call("record_install", lease=batch.lease)
    engine.start(batch.lease, batch.jobs[0]["job_id"])
    finish_together(engine, batch)
    engine.release(batch.lease)
    engine.call("heartbeat", worker_id=driver.worker_id)
    engine.call("housekeep")
    engine.call("cancel_run", run_id=run.run_id)


def finish_together(engine: Engine, batch: Any) -> None:
    results = Jsonb([{"job_id": job["job_id"], "status": "completed"} for job in batch.jobs])
    engine.rows("select * from qgjob.finish_jobs(p_lease => %s, p_results => %s)", batch.lease, results)


def test_working_costs_the_same_whatever_waits(busy: tuple[Engine, Driver]) -> None:
    engine, driver = busy
    batch, claimed = rows_read(engine, lambda: engine.claim(driver))
    assert len(batch.jobs) == 20
    spent = {
        "claim_batch": claimed,
        "record_install": rows_read(engine, lambda: engine.call("record_install", lease=batch.lease))[1],
        "start_job": rows_read(engine, lambda: engine.start(batch.lease, batch.jobs[0]["job_id"]))[1],
        "heartbeat": rows_read(engine, lambda: engine.call("heartbeat", worker_id=driver.worker_id))[1],
        "finish_jobs": rows_read(engine, lambda: finish_together(engine, batch))[1],
        "release_batch": rows_read(engine, lambda: engine.release(batch.lease))[1],
        "housekeep": rows_read(engine, lambda: engine.call("housekeep"))[1],
        "reconcile_heads": rows_read(engine, lambda: engine.call("reconcile_heads"))[1],
    }
    # A claim looks at 2,000 jobs of its group at most to decide, and at 200 to lower the head. Here a group has 50.
    # Once a minute housekeeping looks at every group that waits, and one of its jobs.
    every_group = 2 * ORGS * BUILDS + 150
    allowed = {"claim_batch": 350, "housekeep": every_group, "reconcile_heads": every_group}
    too_many = {call: read for call, read in spent.items() if sum(read.values()) > allowed.get(call, 150)}
    assert not too_many, too_many


def test_plans_of_small_tables_read_no_other_jobs(engine: Engine) -> None:
    """What a session has settled on while there were few jobs is kept until the tables are analysed again."""
    driver = have_analyzed_nothing(engine)
    use_everything(engine, driver)
    engine.connection.execute("analyze")
    use_everything(engine, driver)
    submit_many(engine)
    run, submitted = rows_read(engine, lambda: engine.submit("a.js", "b.js", org="org1"))
    batch, claimed = rows_read(engine, lambda: engine.claim(driver))
    one, *_ = batch.jobs
    spent = {
        "submit_run": submitted,
        "claim_batch": claimed,
        "start_job": rows_read(engine, lambda: engine.start(batch.lease, one["job_id"]))[1],
        "finish_job": rows_read(engine, lambda: engine.finish(batch.lease, one["job_id"]))[1],
        "release_batch": rows_read(engine, lambda: engine.release(batch.lease))[1],
        "cancel_run": rows_read(engine, lambda: engine.call("cancel_run", run_id=run.run_id))[1],
    }
    too_many = {call: read for call, read in spent.items() if read.get("job", 0) + read.get("run_job", 0) > 500}
    assert not too_many, too_many


def test_submitting_and_cancelling_costs_the_same_whatever_waits(busy: tuple[Engine, Driver]) -> None:
    engine, _ = busy
    paths = [f"tests/new-{number}.spec.ts" for number in range(50)]
    run, submitted = rows_read(engine, lambda: engine.submit(*paths, org="org1"))
    _, one = rows_read(engine, lambda: engine.call("cancel_job", job_id=run.job_ids[0]))
    _, rest = rows_read(engine, lambda: engine.call("cancel_run", run_id=run.run_id))
    spent = {"submit_run": submitted, "cancel_job": one, "cancel_run": rest}
    too_many = {call: read for call, read in spent.items() if sum(read.values()) > 1_500}
    assert not too_many, too_many


def test_reading_costs_the_same_whatever_waits(busy: tuple[Engine, Driver]) -> None:
    engine, _ = busy
    run = engine.submit(*(f"tests/new-{number}.spec.ts" for number in range(50)), org="org1")
    job_id = run.job_ids[0]
    old_run = engine.value("select min(run_id) from qgjob.run where org_id = 'org0'")
    of_org: dict[str, Any] = {"org_id": "org1", "limit": 20}
    spent = {
        "get_job": rows_read(engine, lambda: engine.job(job_id))[1],
        "get_run": rows_read(engine, lambda: engine.run(run.run_id))[1],
        "get_why": rows_read(engine, lambda: engine.call("get_why", job_id=job_id))[1],
        "list_waiting": rows_read(engine, lambda: engine.call("list_waiting", run_id=run.run_id))[1],
        "list_failures": rows_read(engine, lambda: engine.call("list_failures", run_id=run.run_id))[1],
        "list_unserved": rows_read(engine, lambda: engine.call("list_unserved", run_id=run.run_id))[1],
        "run of a key": rows_read(engine, lambda: engine.call("list_runs", org_id="org1", idempotency_key="k"))[1],
        "cancel_lost_clients": rows_read(engine, lambda: engine.call("cancel_lost_clients"))[1],
        "list_jobs of an organisation": rows_read(engine, lambda: engine.call("list_jobs", **of_org))[1],
        "list_jobs of long ago": rows_read(engine, lambda: engine.call("list_jobs", org_id="org0", limit=20))[1],
        "list_jobs of an old run": rows_read(engine, lambda: engine.call("list_jobs", run_id=old_run, limit=20))[1],
        "and its pending": rows_read(
            engine, lambda: engine.call("list_jobs", run_id=old_run, limit=20, status=["pending"])
        )[1],
        "list_jobs of a run": rows_read(engine, lambda: engine.call("list_jobs", run_id=run.run_id, limit=20))[1],
        "list_jobs of no spec": rows_read(engine, lambda: engine.call("list_jobs", **of_org, test="a*"))[1],
        "list_runs of no label": rows_read(engine, lambda: engine.call("list_runs", **of_org, labels={"a": "b"}))[1],
        "list_runs": rows_read(engine, lambda: engine.call("list_runs", org_id="org1", limit=5))[1],
    }
    # Each run of the organisation, and nothing but its labels; five runs of 50 jobs, each job counted by its status;
    # each job of the organisation, and nothing but its path; for each of 20 jobs all attempts, which are a handful;
    # every lane.
    allowed = {"list_runs of no label": 11, "list_runs": 800, "list_jobs of no spec": 600, "get_why": 800,
               "list_waiting": 900, "list_jobs of an organisation": 1_000, "list_jobs of long ago": 1_000,
               "list_jobs of a run": 1_000, "list_jobs of an old run": 1_000, "and its pending": 2_500}  # fmt: skip
    too_many = {call: read for call, read in spent.items() if sum(read.values()) > allowed.get(call, 200)}
    assert not too_many, too_many


def test_watching_and_reporting_costs_the_same_whatever_has_ended(busy: tuple[Engine, Driver]) -> None:
    engine, _ = busy
    engine.rows(TEN_THOUSAND_ENDED)
    engine.connection.execute("analyze")
    run = engine.submit(*(f"tests/new-{number}.spec.ts" for number in range(20)), org="last")
    engine.submit("tests/new-1.spec.ts", org="last")  # is joined
    jobs, zeros = list(run.job_ids[:3]), [0, 0, 0]
    calls: dict[str, dict[str, Any]] = {
        "watch_runs": {"run_ids": [run.run_id]},
        "watch_jobs": {"job_ids": jobs},
        "changed_runs": {"run_ids": [run.run_id], "after_seqs": [0]},
        "changed_jobs": {"job_ids": jobs, "after_seqs": zeros},
        "get_stats": {"org_id": "last"},
        "get_org": {"org_id": "last"},
        "list_workers": {},
        "get_health": {},
    }
    spent = {function: rows_read(engine, lambda of=function: engine.call(of, **calls[of]))[1] for function in calls}
    # Every lane, to see whether a device serves it.
    allowed = {"get_health": 1_000}
    too_many = {call: read for call, read in spent.items() if sum(read.values()) > allowed.get(call, 250)}
    assert not too_many, too_many


def test_groups_are_listed_without_reading_what_has_ended(busy: tuple[Engine, Driver]) -> None:
    engine, driver = busy
    for _ in range(10):
        batch = engine.claim(driver, max_jobs=500)
        finish_together(engine, batch)
        engine.release(batch.lease)
    engine.submit("tests/last.spec.ts", org="last")
    groups, read = rows_read(engine, lambda: engine.rows("select pending from qgjob.list_groups('last')"))
    assert groups == [(1,)]
    assert read["job"] == 1, read


def test_a_page_of_a_spec_is_read_until_it_is_full(busy: tuple[Engine, Driver]) -> None:
    engine, _ = busy
    engine.connection.execute("analyze")  # until then the 500 jobs of the organisation are sorted
    _, read = rows_read(engine, lambda: engine.call("list_jobs", org_id="org1", test="tests/1*", limit=20))
    assert read["job"] < 200, read


def test_reading_by_a_token_of_an_organisation_costs_the_same_whatever_waits(busy: tuple[Engine, Driver]) -> None:
    """Row-level security asks for each row, and must not be what decides which rows to read."""
    engine, _ = busy
    run = engine.submit(*(f"tests/new-{number}.spec.ts" for number in range(50)), org="org1")
    calls: dict[str, dict[str, Any]] = {
        "get_job": {"job_id": run.job_ids[0], "org_id": "org1"},
        "get_run": {"run_id": run.run_id, "org_id": "org1"},
        "get_why": {"job_id": run.job_ids[0], "org_id": "org1"},
        "list_waiting": {"run_id": run.run_id, "org_id": "org1"},
        "list_attempts": {"job_id": run.job_ids[0], "org_id": "org1"},
        "list_jobs": {"org_id": "org1", "limit": 20},
        "list_runs": {"org_id": "org1", "labels": {"a": "b"}},
        "submit_job": {"org_id": "org1", "app_version_id": "v1", "job": {"test_path": "one-more.js"}},
        "cancel_job": {"job_id": run.job_ids[1], "org_id": "org1"},
    }

    def by_token(function: str) -> Any:
        engine.connection.execute(ENTER, {"org_id": "org1"})
        return engine.call(function, **calls[function])

    spent = {function: rows_read(engine, lambda of=function: by_token(of))[1] for function in calls}
    # As above; and until PostgreSQL has analysed the tables for the first time, it sorts the organisation's jobs.
    allowed = {"list_jobs": 6 * JOBS * BUILDS}
    too_many = {call: read for call, read in spent.items() if sum(read.values()) > allowed.get(call, 900)}
    assert not too_many, too_many


def test_a_lost_index_shows(busy: tuple[Engine, Driver]) -> None:
    engine, driver = busy
    engine.connection.execute("drop index qgjob.pending_jobs_of_group")
    _, read = rows_read(engine, lambda: engine.claim(driver))
    assert sum(read.values()) > 10_000
