"""A cancelled job stops, a cancelled run ends, and neither takes anything from others."""

from engine import Engine, refused


def test_a_pending_job_is_cancelled_at_once(engine: Engine) -> None:
    run = engine.submit("a.js")
    assert engine.call("cancel_job", job_id=run.job_ids[0]) == (1, 0, 0)
    job = engine.job(run.job_ids[0])
    assert (job.status, job.failure_kind, job.attempts) == ("cancelled", None, 0)
    assert engine.counts(run.run_id) == (0, True)
    assert engine.run(run.run_id).status == "cancelled"
    assert engine.claim(engine.drive()) is None


def test_a_queued_job_is_cancelled_at_once_and_skipped(engine: Engine) -> None:
    run = engine.submit("a.js", "b.js", "c.js", "d.js")
    batch = engine.claim(engine.drive(), max_jobs=2)
    first, second = (job["job_id"] for job in batch.jobs)
    assert engine.call("cancel_job", job_id=first) == (1, 0, 0)
    assert engine.start(batch.lease, first) == "skip"
    assert engine.start(batch.lease, second) == "run"
    engine.finish(batch.lease, second)
    engine.release(batch.lease)
    assert engine.statuses(run.job_ids) == ["cancelled", "completed", "pending", "pending"]
    assert engine.counts(run.run_id) == (2, False)


def test_a_running_job_is_stopped_by_its_worker(engine: Engine) -> None:
    run = engine.submit("a.js")
    driver = engine.drive()
    batch = engine.claim(driver)
    engine.start(batch.lease, run.job_ids[0])
    assert engine.call("cancel_job", job_id=run.job_ids[0]) == (0, 1, 0)
    assert engine.job(run.job_ids[0]).cancel_requested
    assert engine.counts(run.run_id) == (1, False)
    assert engine.call("heartbeat", worker_id=driver.worker_id).stop_jobs == run.job_ids
    assert engine.finish(batch.lease, run.job_ids[0], "cancelled") == ("cancelled", True)
    assert engine.call("heartbeat", worker_id=driver.worker_id).stop_jobs == []
    assert engine.counts(run.run_id) == (0, True)


def test_the_worker_is_called_to_stop_a_job(engine: Engine) -> None:
    (job_id,) = engine.submit("a.js").job_ids
    driver = engine.drive()
    with engine.another() as listener:
        listener.connection.execute("listen qgjob_worker")
        engine.start(engine.claim(driver).lease, job_id)
        engine.call("cancel_job", job_id=job_id)
        listener.connection.execute("select 1")
        assert [note.payload for note in listener.connection.notifies(timeout=0)] == [str(driver.worker_id)]


def test_a_result_that_was_there_first_counts(engine: Engine) -> None:
    for number, (status, kind) in enumerate((("completed", None), ("failed", "test"))):
        (job_id,) = engine.submit({"test_path": f"{number}.js", "retries": 3}).job_ids
        batch = engine.claim(engine.drive(f"phone-{number}"))
        engine.start(batch.lease, job_id)
        engine.call("cancel_job", job_id=job_id)
        assert engine.finish(batch.lease, job_id, status, kind) == (status, True)
        engine.release(batch.lease)


def test_an_infrastructure_loss_of_a_job_that_is_being_cancelled_ends_it(engine: Engine) -> None:
    run = engine.submit("a.js")
    batch = engine.claim(engine.drive())
    engine.start(batch.lease, run.job_ids[0])
    engine.call("cancel_run", run_id=run.run_id)
    assert engine.finish(batch.lease, run.job_ids[0], "failed", "infrastructure") == ("cancelled", True)
    assert engine.job(run.job_ids[0]).failure_kind is None
    assert engine.counts(run.run_id) == (0, True)


def test_a_job_that_is_being_cancelled_ends_with_its_batch(engine: Engine) -> None:
    for number, end in enumerate(("done", "drained", "unprepared", "expired")):
        run = engine.submit(f"{number}.js")
        driver = engine.drive(f"phone-{number}")
        batch = engine.claim(driver)
        engine.start(batch.lease, run.job_ids[0])
        engine.call("cancel_run", run_id=run.run_id)
        if end == "expired":
            engine.expire(batch.lease)
            engine.call("housekeep")
        else:
            engine.release(batch.lease, end)
        assert engine.statuses(run.job_ids) == ["cancelled"]
        assert engine.counts(run.run_id) == (0, True)
        assert engine.claim(driver) is None


def test_a_run_is_cancelled_with_all_that_it_waits_for(engine: Engine) -> None:
    run = engine.submit(*(f"{number}.js" for number in range(6)))
    batch = engine.claim(engine.drive(), max_jobs=3)
    done, running, queued = (job["job_id"] for job in batch.jobs)
    engine.run_job(batch.lease, done)
    engine.start(batch.lease, running)
    assert engine.call("cancel_run", run_id=run.run_id) == (4, 1, 0)
    assert engine.statuses([done, running, queued]) == ["completed", "running", "cancelled"]
    assert engine.counts(run.run_id) == (1, False)
    engine.finish(batch.lease, running, "cancelled")
    assert engine.counts(run.run_id) == (0, True)


def test_cancelling_again_changes_nothing(engine: Engine) -> None:
    run = engine.submit("a.js", "b.js", "c.js", "d.js")
    other = engine.submit("d.js")
    batch = engine.claim(engine.drive(), max_jobs=1)
    engine.start(batch.lease, run.job_ids[0])
    assert engine.call("cancel_run", run_id=run.run_id) == (2, 1, 1)
    before = engine.rows("select * from qgjob.job order by 1"), engine.rows("select * from qgjob.run order by 1")
    assert engine.call("cancel_run", run_id=run.run_id) == (0, 0, 0)
    assert engine.call("cancel_job", job_id=run.job_ids[0]) == (0, 0, 0)
    assert before == (
        engine.rows("select * from qgjob.job order by 1"),
        engine.rows("select * from qgjob.run order by 1"),
    )
    assert engine.counts(other.run_id) == (1, False)


def test_what_has_ended_stays_as_it_is(engine: Engine) -> None:
    run = engine.submit("a.js")
    engine.run_all(engine.drive())
    assert engine.call("cancel_job", job_id=run.job_ids[0]) == (0, 0, 0)
    assert engine.call("cancel_run", run_id=run.run_id) == (0, 0, 0)
    ended = engine.run(run.run_id)
    assert (ended.status, ended.completed, ended.cancelled) == ("completed", 1, 0)


def test_a_job_that_another_run_waits_for_is_left_to_it(engine: Engine) -> None:
    first = engine.submit("a.js", "b.js")
    second = engine.submit("b.js", "c.js")
    shared = second.job_ids[0]
    assert engine.call("cancel_run", run_id=first.run_id) == (1, 0, 1)
    assert engine.job(shared).status == "pending"
    assert (engine.counts(first.run_id), engine.counts(second.run_id)) == ((0, True), (2, False))
    assert (engine.run(first.run_id).status, engine.run(first.run_id).cancelled) == ("cancelled", 2)
    engine.run_all(engine.drive())
    assert (engine.counts(first.run_id), engine.counts(second.run_id)) == ((0, True), (0, True))
    assert (engine.run(first.run_id).status, engine.run(second.run_id).status) == ("cancelled", "completed")


def test_a_run_whose_jobs_are_all_shared_ends_and_its_watchers_hear_of_it(engine: Engine) -> None:
    first, second = engine.submit("a.js", "b.js"), engine.submit("a.js", "b.js")
    with engine.another() as listener:
        listener.connection.execute("listen qgjob_run")
        engine.call("watch_runs", run_ids=[first.run_id])
        assert engine.call("cancel_run", run_id=first.run_id) == (0, 0, 2)
        listener.connection.execute("select 1")
        assert [note.payload for note in listener.connection.notifies(timeout=0)] == [str(first.run_id)]
    assert (engine.counts(first.run_id), engine.counts(second.run_id)) == ((0, True), (2, False))


def test_the_last_run_that_waits_for_a_job_takes_it_along(engine: Engine) -> None:
    runs = [engine.submit("a.js") for _ in range(3)]
    for run in runs[:2]:
        assert engine.call("cancel_run", run_id=run.run_id) == (0, 0, 1)
    assert engine.call("cancel_run", run_id=runs[2].run_id) == (1, 0, 0)
    assert engine.statuses(runs[0].job_ids) == ["cancelled"]
    assert all(engine.counts(run.run_id) == (0, True) for run in runs)


def test_cancelling_a_job_cancels_it_for_every_run(engine: Engine) -> None:
    first, second = engine.submit("a.js", "b.js"), engine.submit("a.js")
    engine.call("cancel_job", job_id=first.job_ids[0])
    assert (engine.counts(first.run_id), engine.counts(second.run_id)) == ((1, False), (0, True))


def test_what_is_submitted_after_a_cancellation_does_not_share_it(engine: Engine) -> None:
    first = engine.submit("a.js")
    batch = engine.claim(engine.drive())
    engine.start(batch.lease, first.job_ids[0])
    engine.call("cancel_run", run_id=first.run_id)
    second = engine.submit("a.js")
    assert second.deduplicated == 0
    engine.finish(batch.lease, first.job_ids[0], "cancelled")
    engine.release(batch.lease)
    engine.run_all(engine.drive("phone-2"))
    assert engine.run(second.run_id).status == "completed"


def test_a_group_whose_jobs_are_cancelled_waits_for_nobody(engine: Engine) -> None:
    run = engine.submit("a.js", "b.js")
    engine.call("cancel_job", job_id=run.job_ids[0])
    assert engine.call("get_health").status == "degraded"
    engine.call("cancel_run", run_id=run.run_id)
    health = engine.call("get_health")
    assert (health.status, health.oldest_pending_s, health.unserved) == ("ok", None, [])


def test_another_organisation_cannot_cancel(engine: Engine) -> None:
    run = engine.submit("a.js")
    with refused("job_exists"):
        engine.call("cancel_job", job_id=run.job_ids[0], org_id="globex")
    with refused("run_exists"):
        engine.call("cancel_run", run_id=run.run_id, org_id="globex")
    with refused("job_exists"):
        engine.call("cancel_job", job_id=10_000)
    with refused("run_exists"):
        engine.call("cancel_run", run_id=10_000)
    assert engine.statuses(run.job_ids) == ["pending"]


def test_a_job_is_not_kept_for_a_run_that_has_abandoned_it_and_is_still_stopping(engine: Engine) -> None:
    first = engine.submit("running.js", "shared.js")
    second = engine.submit("shared.js")
    batch = engine.claim(engine.drive(), max_jobs=1)
    engine.start(batch.lease, first.job_ids[0])
    assert engine.call("cancel_run", run_id=first.run_id) == (0, 1, 1)
    assert engine.call("cancel_run", run_id=second.run_id) == (1, 0, 0)
    assert engine.statuses(first.job_ids) == ["running", "cancelled"]


def test_what_is_submitted_beside_a_cancelled_job_is_joined_alone(engine: Engine) -> None:
    (stopping,) = engine.submit("a.js").job_ids
    engine.start(engine.claim(engine.drive()).lease, stopping)
    engine.call("cancel_job", job_id=stopping)
    waiting = engine.submit("a.js")
    joined = engine.submit("a.js")
    assert (joined.total, joined.job_ids) == (1, waiting.job_ids)
