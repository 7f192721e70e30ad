"""kill -9 of a worker in the middle of a batch loses nothing and runs nothing finished again."""

from engine import Engine
from processes import Services, both_transports

from qgjob.children import wait_until

pytestmark = both_transports
LEASE = ("--lease", "2", "--executor", "simulated")


def test_what_a_killed_worker_left_finishes_elsewhere(engine: Engine, services: Services) -> None:
    doomed = services.worker("doomed", "--setting", "duration_s=0.3", *LEASE)
    run = engine.submit(*(f"tests/{number}.spec.js" for number in range(12)), {"test_path": "tests/hang.spec.js"})
    assert wait_until(lambda: engine.run(run.run_id).completed >= 2 and engine.run(run.run_id).running == 1, 30)
    doomed.process.kill()
    doomed.process.wait()
    finished_before = engine.rows(
        "select job_id, ended_at from qgjob.attempt where status = 'completed' order by job_id"
    )

    hang = run.job_ids[-1]
    engine.call("cancel_job", job_id=hang)
    services.worker("heir", "--setting", "duration_s=0.05", *LEASE)
    assert wait_until(lambda: engine.run(run.run_id).finished_at is not None, 60)

    seen = engine.run(run.run_id)
    assert (seen.completed, seen.cancelled, seen.failed) == (12, 1, 0)
    # What was finished before was not run again, and what was running then is a loss, not a failed test.
    assert (
        engine.rows(
            "select job_id, ended_at from qgjob.attempt where status = 'completed' and job_id = any (%s) order by 1",
            [row.job_id for row in finished_before],
        )
        == finished_before
    )
    lost = engine.rows("select failure_kind from qgjob.attempt where status = 'failed'")
    assert set(lost) <= {("infrastructure",)}
    assert engine.value("select count(*) from qgjob.job where flaky") == 0


def test_a_job_that_kills_every_worker_ends_as_infrastructure(engine: Engine, services: Services) -> None:
    run = engine.submit("tests/crash.spec.js", "tests/fine.spec.js")
    services.worker("worker", "--setting", "duration_s=0.05", *LEASE)
    assert wait_until(lambda: engine.run(run.run_id).finished_at is not None, 60)
    crash, fine = (engine.job(job_id) for job_id in run.job_ids)
    assert (crash.status, crash.failure_kind, crash.attempts) == ("failed", "infrastructure", 4)
    assert fine.status == "completed"


def test_a_job_over_its_time_limit_is_stopped(engine: Engine, services: Services) -> None:
    run = engine.submit({"test_path": "tests/hang.spec.js", "timeout_s": 1}, "tests/fine.spec.js")
    services.worker("worker", "--setting", "duration_s=0.05", *LEASE)
    assert wait_until(lambda: engine.run(run.run_id).finished_at is not None, 60)
    hang, fine = (engine.job(job_id) for job_id in run.job_ids)
    assert (hang.status, hang.failure_kind) == ("failed", "timeout")
    assert "1 s" in hang.message
    assert fine.status == "completed"


def test_cancelling_a_run_frees_its_device(engine: Engine, services: Services) -> None:
    services.worker("worker", "--setting", "duration_s=0.05", "--lease", "30")
    run = engine.submit("tests/first.spec.js", "tests/hang.spec.js", "tests/later.spec.js")
    assert wait_until(lambda: engine.run(run.run_id).running == 1 and engine.run(run.run_id).completed == 1, 30)
    engine.call("cancel_run", run_id=run.run_id)
    next_run = engine.submit("tests/next.spec.js")
    assert wait_until(lambda: engine.run(next_run.run_id).status == "completed", 30)
    seen = engine.run(run.run_id)
    assert (seen.status, seen.completed, seen.cancelled) == ("cancelled", 1, 2)


def test_cancelling_a_run_stops_an_install_that_nobody_waits_for(engine: Engine, services: Services) -> None:
    services.worker("worker", "--setting", "duration_s=0.05", "--backend-setting", "install_s=600")
    run = engine.submit("tests/a.spec.js", "tests/b.spec.js")
    assert wait_until(lambda: engine.value("select count(*) from qgjob.batch") == 1, 30)
    engine.call("cancel_run", run_id=run.run_id)
    assert wait_until(lambda: engine.value("select status from reporting.devices") == "idle", 30)


def test_a_draining_worker_does_not_wait_for_an_install(engine: Engine, services: Services) -> None:
    worker = services.worker("leaver", "--backend-setting", "install_s=600")
    run = engine.submit("tests/a.spec.js")
    assert wait_until(lambda: engine.value("select count(*) from qgjob.batch") == 1, 30)
    worker.process.terminate()
    assert worker.process.wait(30) == 0
    assert (engine.run(run.run_id).pending, engine.run(run.run_id).attempts) == (1, 0)


def test_a_draining_worker_finishes_its_test_and_gives_back_the_rest(engine: Engine, services: Services) -> None:
    worker = services.worker("leaver", "--setting", "duration_s=1", "--lease", "30")
    run = engine.submit(*(f"tests/{number}.spec.js" for number in range(6)))
    assert wait_until(lambda: engine.run(run.run_id).running == 1, 30)
    worker.process.terminate()
    assert worker.process.wait(30) == 0
    seen = engine.run(run.run_id)
    assert (seen.completed, seen.pending) == (1, 5)
    assert engine.value("select count(*) from qgjob.attempt") == 1
    assert engine.value("select status from reporting.workers") == "ended"


def test_a_test_that_is_just_starting_is_finished_too(engine: Engine, services: Services) -> None:
    """Others see it run before its worker hears that it does."""
    worker = services.worker("leaver", "--setting", "duration_s=0.1", "--backend-setting", "install_s=1")
    run = engine.submit("tests/a.spec.js", "tests/b.spec.js")
    assert wait_until(lambda: engine.value("select count(*) from qgjob.batch") == 1, 30)
    with engine.another() as other, other.connection.transaction():
        other.rows("select job_id from qgjob.job for no key update")
        starts = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
        assert wait_until(lambda: engine.value(starts) == 1, 30)
        worker.process.terminate()
        assert wait_until(lambda: "draining" in worker.last_lines(), 30)
    assert worker.process.wait(30) == 0
    seen = engine.run(run.run_id)
    assert (seen.completed, seen.pending) == (1, 1)


def test_a_second_signal_gives_back_the_running_test_too(engine: Engine, services: Services) -> None:
    worker = services.worker("leaver", "--lease", "30")
    assert "and drives 1 device\n" in f"{worker.last_lines()}\n"
    run = engine.submit("tests/hang.spec.js")
    assert wait_until(lambda: engine.run(run.run_id).running == 1, 30)
    worker.process.terminate()
    assert wait_until(lambda: "draining" in worker.last_lines(), 30)  # or the two signals may arrive as one
    worker.process.terminate()
    assert worker.process.wait(30) == 0
    seen = engine.run(run.run_id)
    assert (seen.pending, seen.attempts) == (1, 0)


def test_a_device_that_has_left_a_burst_worker_is_waited_for_by_nobody(engine: Engine, services: Services) -> None:
    engine.submit("short.js", build="v1")
    engine.submit("hang.js", build="v2")
    worker = services.worker("burst", "--devices", "2", "--setting", "duration_s=0.05", "--burst")
    query = "select array_agg(status order by status) from reporting.devices"
    assert wait_until(lambda: engine.value(query) == ["busy", "offline"], 30), worker.last_lines()
    engine.submit("short.js", build="v1")
    assert engine.claim(engine.drive()).app_version_id == "v1"


def test_a_burst_worker_leaves_when_nothing_is_pending(engine: Engine, services: Services) -> None:
    run = engine.submit("tests/a.spec.js", "tests/b.spec.js")
    worker = services.worker("burst", "--setting", "duration_s=0.05", "--burst")
    assert worker.process.wait(60) == 0
    assert engine.run(run.run_id).status == "completed"
