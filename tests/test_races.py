"""Two sessions at once: whoever comes second waits, and then finds what the first has decided."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from time import monotonic
from typing import Any

import psycopg
import pytest
from engine import Driver, Engine, refused
from psycopg.types.json import Jsonb


class Session:
    """A session whose calls run in a thread of its own."""

    def __init__(self, engine: Engine, pool: ThreadPoolExecutor) -> None:
        self.engine, self.pool = engine, pool

    def begin(self, call: Callable[[Engine], Any]) -> Future[Any]:
        return self.pool.submit(call, self.engine)

    def blocked(self, call: Callable[[Engine], Any]) -> Future[Any]:
        """The call has begun and waits for a lock."""
        future = self.begin(call)
        until = monotonic() + 10
        with self.engine.another() as observer:
            while not observer.value(
                "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and pid = %s",
                self.engine.connection.info.backend_pid,
            ):
                assert not future.done(), future.result()
                assert monotonic() < until, "it neither waits nor ends"
        return future


@pytest.fixture
def second(engine: Engine) -> Iterator[Session]:
    with engine.another() as other, ThreadPoolExecutor(1) as pool:
        yield Session(other, pool)


@contextmanager
def held(engine: Engine) -> Iterator[None]:
    """What is called inside is committed at the end."""
    with engine.connection.transaction():
        yield


def after(future: Future[Any]) -> Any:
    return future.result(timeout=10)


def started(engine: Engine, *paths: str, **options: Any) -> tuple[Driver, Any, Any]:
    """A driver, its batch, the run; the first job has started."""
    run = engine.submit(*(paths or ("a.js",)), **options)
    driver = engine.drive()
    batch = engine.claim(driver)
    engine.start(batch.lease, batch.jobs[0]["job_id"])
    return driver, batch, run


def test_two_claims_for_one_device_get_one_batch(engine: Engine, second: Session) -> None:
    engine.submit("a.js", "b.js", "c.js")
    driver = engine.drive()
    with held(engine):
        batch = engine.claim(driver)
        other = second.blocked(lambda session: session.claim(driver))
    assert after(other) == batch
    assert engine.value("select count(*) from qgjob.batch") == 1


def test_two_claims_for_one_device_that_goes_on_get_one_batch(engine: Engine, second: Session) -> None:
    engine.submit("a.js", "b.js", "c.js")
    driver = engine.drive()
    engine.run_batch(driver, max_jobs=1)
    with held(engine):
        batch = engine.claim(driver, max_jobs=1)
        other = second.blocked(lambda session: session.claim(driver))
    assert after(other) == batch
    assert engine.value("select count(*) from qgjob.batch where ended_at is null") == 1
    assert engine.value("select devices from qgjob.job_group") == 1


def test_a_device_goes_on_while_another_of_its_group_is_charged(engine: Engine, second: Session) -> None:
    """It waits for the lanes when it has its jobs, and then finds what the other was charged."""
    engine.submit(*(f"{number}.js" for number in range(9)))
    drivers = [engine.drive("phone-1"), engine.drive("phone-2")]
    batches = [engine.run_batch(driver, max_jobs=1) for driver in drivers]
    engine.rows("update qgjob.batch set claimed_at = claimed_at - interval '1 min', charged_s = 0 returning 1")
    engine.rows("update qgjob.lane set pass = 0 returning 1")
    with held(engine):
        engine.release(batches[0].lease)
        other = second.blocked(lambda session: session.claim(drivers[1], max_jobs=1))
    assert not after(other).install
    assert engine.value("select round(pass) from qgjob.lane") == 120
    assert engine.value("select devices from qgjob.job_group") == 1


def test_a_lease_begins_when_its_claim_has_waited_for_others(engine: Engine, second: Session) -> None:
    engine.submit("a.js")
    driver = engine.drive()
    with held(engine):
        engine.rows("select from qgjob.lane for update")
        claim = second.blocked(lambda session: session.claim(driver))
        waited = engine.value("select clock_timestamp()")
    lease = after(claim).lease
    assert engine.value("select claimed_at from qgjob.batch where batch_id = %s", lease) > waited


def test_a_submission_that_is_not_committed_keeps_no_device_from_others(engine: Engine, second: Session) -> None:
    driver = engine.drive()
    assert engine.claim(driver) is None, "it waits for a hint"
    with held(engine):
        engine.submit("a.js")
        after(second.begin(lambda session: session.submit("b.js", org="other")))
        assert after(second.begin(lambda session: session.claim(driver))).org_id == "other"


def test_a_device_that_finds_nothing_waits_for_no_submission(engine: Engine, second: Session) -> None:
    """Which is just telling it, and will have told it when it is committed."""
    driver = engine.drive()
    assert engine.claim(driver) is None, "it waits for a hint"
    with engine.hinted() as hints, held(engine):
        engine.submit("a.js")
        assert after(second.begin(lambda session: session.claim(driver))) is None
    assert hints == ["emulator"]
    assert engine.claim(driver)


def test_a_cancellation_that_is_not_committed_keeps_no_device_from_others(engine: Engine, second: Session) -> None:
    runs = [engine.submit("a.js", "b.js", build=f"v{build}") for build in range(3)]
    engine.submit("c.js", org="other")
    engine.rows("update qgjob.lane set pass = 100 where org_id = 'other' returning 1")
    driver = engine.drive()
    with held(engine):
        for run in runs:
            engine.call("cancel_run", run_id=run.run_id)
        assert after(second.begin(lambda session: session.claim(driver))).org_id == "other"


def test_a_claim_does_not_wait_for_who_does_not_commit(engine: Engine, second: Session) -> None:
    """The other lane of the organisation is just being activated; that it has pending jobs is told at the commit."""
    driver = engine.drive(os="14")
    engine.submit("a.js")
    engine.release(engine.run_batch(driver).lease)
    assert engine.claim(driver) is None
    engine.submit({"test_path": "b.js", "selector": {"os": "14"}}, build="v2")
    with held(engine):
        engine.submit("c.js")
        assert after(second.begin(lambda session: session.claim(driver))) is None
    assert engine.claim(driver)


def test_two_devices_never_both_open_a_group(engine: Engine, second: Session) -> None:
    engine.submit("a.js", "b.js")
    one, two = engine.drive("phone-1"), engine.drive("phone-2")
    with held(engine):
        engine.claim(one, max_jobs=1)
        other = second.blocked(lambda session: session.claim(two))
    assert after(other) is None, "the one test left is not worth a second install"
    assert len(engine.rows("select from qgjob.batch")) == 1


def test_two_devices_that_hold_a_build_do_not_both_leave_it_for_what_is_urgent(engine: Engine, second: Session) -> None:
    engine.submit(*(f"{number}.js" for number in range(90)))
    one, two = engine.drive("phone-1"), engine.drive("phone-2")
    for driver in (one, two):
        engine.release(engine.run_batch(driver, max_jobs=1).lease)
    engine.rows("update qgjob.install_timing set mean_s = 30 returning 1")  # what is left is not worth another
    engine.submit("a.js", "b.js", build="v2", defaults={"priority": "urgent"})
    with held(engine):
        assert engine.claim(one, max_jobs=1).app_version_id == "v2"
        other = second.blocked(lambda session: session.claim(two, max_jobs=1))
    assert (after(other).app_version_id, after(other).install) == ("v1", False)


def test_two_devices_that_share_a_group_share_no_job(engine: Engine, second: Session) -> None:
    engine.submit(*(f"{number}.js" for number in range(40)))
    one, two = engine.drive("phone-1"), engine.drive("phone-2")
    with held(engine):
        batch = engine.claim(one)
        other = second.blocked(lambda session: session.claim(two))
    assert not {job["job_id"] for job in batch.jobs} & {job["job_id"] for job in after(other).jobs}


def test_a_claim_goes_around_a_job_that_is_being_cancelled(engine: Engine, second: Session) -> None:
    run = engine.submit("a.js", "b.js")
    driver = engine.drive()
    with held(engine):
        engine.call("cancel_job", job_id=run.job_ids[0])
        batch = after(second.begin(lambda session: session.claim(driver)))
    assert [job["job_id"] for job in batch.jobs] == [run.job_ids[1]]
    assert engine.statuses(run.job_ids) == ["cancelled", "queued"]


def test_a_cancellation_waits_for_the_claim_of_its_job(engine: Engine, second: Session) -> None:
    run = engine.submit("a.js")
    driver = engine.drive()
    with held(engine):
        batch = engine.claim(driver)
        cancelled = second.blocked(lambda session: session.call("cancel_run", run_id=run.run_id))
    assert after(cancelled) == (1, 0, 0)
    assert engine.start(batch.lease, run.job_ids[0]) == "skip"


def test_a_heartbeat_that_comes_first_keeps_the_batch(engine: Engine, second: Session) -> None:
    driver, batch, run = started(engine)
    engine.expire(batch.lease)
    with held(engine):
        engine.call("heartbeat", worker_id=driver.worker_id)
        reaped = second.blocked(lambda session: session.call("housekeep"))
    assert after(reaped).expired == 0
    assert engine.finish(batch.lease, run.job_ids[0]) == ("completed", True)


def test_a_reaper_that_comes_first_takes_the_batch(engine: Engine, second: Session) -> None:
    driver, batch, run = started(engine)
    engine.expire(batch.lease)
    with held(engine):
        assert engine.call("housekeep").expired == 1
        beat = second.blocked(lambda session: session.call("heartbeat", worker_id=driver.worker_id))
    assert after(beat).leases == []
    assert engine.statuses(run.job_ids) == ["pending"]


def test_a_result_that_comes_before_the_reaper_counts(engine: Engine, second: Session) -> None:
    _, batch, run = started(engine)
    engine.expire(batch.lease)
    with held(engine):
        engine.finish(batch.lease, run.job_ids[0])
        reaped = second.blocked(lambda session: session.call("housekeep"))
    assert after(reaped).expired == 1
    assert engine.statuses(run.job_ids) == ["completed"]
    assert engine.value("select count(*) from qgjob.attempt") == 1


def test_a_result_that_comes_after_the_reaper_is_refused(engine: Engine, second: Session) -> None:
    _, batch, run = started(engine)
    engine.expire(batch.lease)
    with held(engine):
        engine.call("housekeep")
        late = second.blocked(lambda session: session.finish(batch.lease, run.job_ids[0]))
    with refused("lease_is_held"):
        after(late)
    assert engine.statuses(run.job_ids) == ["pending"]


def test_a_start_that_comes_after_the_reaper_is_refused(engine: Engine, second: Session) -> None:
    run = engine.submit("a.js")
    batch = engine.claim(engine.drive())
    engine.expire(batch.lease)
    with held(engine):
        engine.call("housekeep")
        late = second.blocked(lambda session: session.start(batch.lease, run.job_ids[0]))
    with refused("lease_is_held"):
        after(late)


def test_a_start_that_comes_before_the_reaper_is_a_loss(engine: Engine, second: Session) -> None:
    run = engine.submit("a.js")
    batch = engine.claim(engine.drive())
    engine.expire(batch.lease)
    with held(engine):
        engine.start(batch.lease, run.job_ids[0])
        reaped = second.blocked(lambda session: session.call("housekeep"))
    after(reaped)
    assert engine.value("select losses from qgjob.job") == 1


def test_a_result_that_comes_before_the_release_counts(engine: Engine, second: Session) -> None:
    _, batch, run = started(engine)
    with held(engine):
        engine.finish(batch.lease, run.job_ids[0])
        released = second.blocked(lambda session: session.release(batch.lease))
    after(released)
    assert engine.statuses(run.job_ids) == ["completed"]


def test_a_release_that_waits_for_the_reaper_changes_nothing(engine: Engine, second: Session) -> None:
    _, batch, _ = started(engine)
    engine.expire(batch.lease)
    with held(engine):
        engine.call("housekeep")
        released = second.blocked(lambda session: session.release(batch.lease, "unprepared"))
    after(released)
    assert engine.row("select losses, attempts from qgjob.job") == (1, 1)
    assert engine.value("select end_reason from qgjob.batch") == "expired"


def test_a_cancellation_after_the_result_changes_nothing(engine: Engine, second: Session) -> None:
    _, batch, run = started(engine)
    with held(engine):
        engine.finish(batch.lease, run.job_ids[0])
        cancelled = second.blocked(lambda session: session.call("cancel_run", run_id=run.run_id))
    assert after(cancelled) == (0, 0, 0)
    assert engine.statuses(run.job_ids) == ["completed"]


def test_a_result_after_the_cancellation_is_kept(engine: Engine, second: Session) -> None:
    _, batch, run = started(engine)
    with held(engine):
        engine.call("cancel_run", run_id=run.run_id)
        late = second.blocked(lambda session: session.finish(batch.lease, run.job_ids[0]))
    assert after(late) == ("completed", True)
    assert engine.counts(run.run_id) == (0, True)


def test_a_start_after_the_cancellation_is_skipped(engine: Engine, second: Session) -> None:
    run = engine.submit("a.js")
    batch = engine.claim(engine.drive())
    with held(engine):
        engine.call("cancel_run", run_id=run.run_id)
        late = second.blocked(lambda session: session.start(batch.lease, run.job_ids[0]))
    assert after(late) == "skip"


def test_a_cancellation_after_the_start_is_for_the_worker(engine: Engine, second: Session) -> None:
    run = engine.submit("a.js")
    batch = engine.claim(engine.drive())
    with held(engine):
        engine.start(batch.lease, run.job_ids[0])
        cancelled = second.blocked(lambda session: session.call("cancel_run", run_id=run.run_id))
    assert after(cancelled) == (0, 1, 0)
    assert engine.statuses(run.job_ids) == ["running"]


@pytest.mark.parametrize(("status", "kind"), [("completed", None), ("failed", "test")])
def test_the_second_of_two_results_is_a_repetition_or_refused(
    engine: Engine, second: Session, status: str, kind: str | None
) -> None:
    _, batch, run = started(engine)
    with held(engine):
        engine.finish(batch.lease, run.job_ids[0])
        late = second.blocked(lambda session: session.finish(batch.lease, run.job_ids[0], status, kind))
    if status == "completed":
        assert after(late) == ("completed", False)
    else:
        with refused("lease_is_held"):
            after(late)
    assert engine.value("select count(*) from qgjob.attempt") == 1


def test_one_reaper_works_at_a_time(engine: Engine, second: Session) -> None:
    _, batch, _ = started(engine)
    engine.expire(batch.lease)
    with held(engine):
        assert engine.call("housekeep").expired == 1
        assert after(second.begin(lambda session: session.call("housekeep"))).expired == 0
    assert engine.value("select losses from qgjob.job") == 1


def test_a_device_and_the_reaper_take_a_batch_back_once(engine: Engine, second: Session) -> None:
    driver, batch, _ = started(engine)
    engine.expire(batch.lease)
    with held(engine):
        again = engine.claim(driver)
        reaped = second.blocked(lambda session: session.call("housekeep"))
    assert after(reaped).expired == 0
    assert engine.row("select losses, batch_id from qgjob.job") == (1, again.lease)


def test_the_same_key_at_once_is_one_run(engine: Engine, second: Session) -> None:
    with held(engine):
        first = engine.submit("a.js", idempotency_key="k")
        other = second.blocked(lambda session: session.submit("a.js", idempotency_key="k"))
    assert (after(other).run_id, after(other).replayed) == (first.run_id, True)


def test_the_same_key_for_another_submission_at_once_is_refused(engine: Engine, second: Session) -> None:
    with held(engine):
        engine.submit("a.js", idempotency_key="k")
        other = second.blocked(lambda session: session.submit("b.js", idempotency_key="k"))
    with refused("idempotency_key_is_used_once"):
        after(other)


def test_a_key_whose_first_submission_was_rolled_back_is_free(engine: Engine, second: Session) -> None:
    with engine.connection.transaction(force_rollback=True):
        engine.submit("a.js", idempotency_key="k")
        other = second.blocked(lambda session: session.submit("b.js", idempotency_key="k"))
    assert (after(other).replayed, after(other).total) == (False, 1)


@pytest.mark.parametrize("unfinished", [False, True])
def test_the_same_test_submitted_at_once_is_one_job(engine: Engine, second: Session, unfinished: bool) -> None:
    (job_id,) = engine.submit("z.js").job_ids  # so that they do not wait for their build, but for the job
    if not unfinished:
        engine.call("cancel_job", job_id=job_id)
        assert engine.claim(engine.drive()) is None  # and the group has no head
    with held(engine):
        first = engine.submit("b.js", "a.js")
        other = second.blocked(lambda session: session.submit("a.js", "b.js", "c.js"))
    assert (after(other).total, after(other).deduplicated) == (3, 2)
    assert set(first.job_ids) < set(after(other).job_ids)


def test_who_cannot_see_the_same_test_of_somebody_else_is_told(engine: Engine) -> None:
    """And does not look for it for ever."""
    engine.submit("z.js")
    with engine.another() as other:
        other.connection.execute("begin isolation level repeatable read")
        other.rows("select from qgjob.job")
        engine.submit("a.js")
        with pytest.raises(psycopg.errors.SerializationFailure):
            other.submit("a.js")
        other.connection.execute("rollback")
        assert other.submit("a.js").deduplicated == 1


def test_a_job_that_ends_while_it_is_joined_is_created_anew(engine: Engine, second: Session) -> None:
    _, batch, run = started(engine)
    with held(engine):
        engine.finish(batch.lease, run.job_ids[0])
        other = second.blocked(lambda session: session.submit("a.js", "b.js"))
    joined = after(other)
    assert (joined.total, joined.deduplicated) == (2, 0)
    assert run.job_ids[0] not in joined.job_ids
    assert engine.counts(joined.run_id) == (2, False)


def test_a_job_that_is_joined_while_it_ends_ends_both_runs(engine: Engine, second: Session) -> None:
    _, batch, run = started(engine)
    with held(engine):
        joined = engine.submit("a.js")
        late = second.blocked(lambda session: session.finish(batch.lease, run.job_ids[0]))
    after(late)
    assert (engine.counts(run.run_id), engine.counts(joined.run_id)) == ((0, True), (0, True))


def test_a_job_that_is_joined_while_its_run_is_cancelled_goes_on(engine: Engine, second: Session) -> None:
    run = engine.submit("a.js")
    with held(engine):
        joined = engine.submit("a.js")
        cancelled = second.blocked(lambda session: session.call("cancel_run", run_id=run.run_id))
    assert after(cancelled) == (0, 0, 1)
    assert engine.statuses(run.job_ids) == ["pending"]
    assert (engine.counts(run.run_id), engine.counts(joined.run_id)) == ((0, True), (1, False))


@pytest.mark.parametrize("running", [False, True])
def test_a_job_that_is_cancelled_while_it_is_joined_is_created_anew(
    engine: Engine, second: Session, running: bool
) -> None:
    run = engine.submit("a.js")
    if running:
        batch = engine.claim(engine.drive())
        engine.start(batch.lease, run.job_ids[0])
    with held(engine):
        engine.call("cancel_run", run_id=run.run_id)
        other = second.blocked(lambda session: session.submit("a.js"))
    assert after(other).deduplicated == 0
    assert engine.statuses(after(other).job_ids) == ["pending"]


def test_a_job_that_ends_while_it_is_joined_is_looked_for_again(engine: Engine, second: Session) -> None:
    """Who waits has created nothing yet, and finds what somebody else has created meanwhile."""
    ended, kept = engine.submit("b.js", "z.js").job_ids
    with engine.another() as one, engine.another() as other, held(other):
        other.rows("select from qgjob.job where job_id = %s for no key update", kept)
        with held(one):
            one.rows("select from qgjob.job where job_id = %s for no key update", ended)
            first = second.blocked(lambda session: session.submit("b.js", "c.js", "z.js"))
            one.call("cancel_job", job_id=ended)
        late = engine.submit("b.js", "c.js")
    assert after(first).job_ids == [kept, *late.job_ids]
    assert (after(first).deduplicated, late.deduplicated) == (3, 0)


def test_who_has_joined_and_who_has_created_a_job_make_no_deadlock(engine: Engine, second: Session) -> None:
    """Each waits for what the next has; who finds that somebody was first lets go of all that it has created."""
    engine.submit("z.js")
    with engine.another() as one, engine.another() as third, ThreadPoolExecutor(1) as pool:
        with held(one):
            one.submit("c.js")
            creates = second.blocked(lambda session: session.submit("b.js", "c.js"))
            joins = Session(third, pool).blocked(lambda session: session.submit("b.js", "z.js"))
        answers = after(creates), after(joins)
    assert len(set(answers[0].job_ids) & set(answers[1].job_ids)) == 1, "one b.js"
    assert sum(answer.deduplicated for answer in answers) == 3  # c.js, z.js, and b.js by one of them


def test_who_waits_for_somebody_elses_submission_keeps_nobody_from_ending_a_job(
    engine: Engine, second: Session
) -> None:
    _, batch, run = started(engine)
    engine.connection.execute("set lock_timeout = '3s'")
    with engine.another() as one, held(one):
        one.submit("z.js")
        waits = second.blocked(lambda session: session.submit("a.js", "z.js"))
        assert engine.finish(batch.lease, run.job_ids[0]).recorded
    assert (after(waits).total, after(waits).deduplicated) == (2, 1)
    assert run.job_ids[0] not in after(waits).job_ids


def test_a_build_that_is_refused_and_a_run_that_joins_its_jobs_make_no_deadlock(
    engine: Engine, second: Session
) -> None:
    run = engine.submit({"test_path": "a.js", "priority": "urgent"}, "b.js", "c.js")
    batch = engine.claim(engine.drive(), max_jobs=1)
    with engine.another() as third, ThreadPoolExecutor(1) as pool:
        with held(engine):
            engine.rows("select from qgjob.job where job_id = %s for no key update", run.job_ids[1])
            joins = second.blocked(lambda session: session.submit("a.js", "b.js", "c.js"))
            refuses = Session(third, pool).blocked(lambda session: session.release(batch.lease, "refused"))
        assert after(joins).deduplicated == 3
        after(refuses)
    assert engine.statuses(run.job_ids) == ["failed"] * 3


def test_a_run_cancelled_twice_at_once_is_counted_once(engine: Engine, second: Session) -> None:
    first = engine.submit("shared.js", "running.js")
    engine.submit("shared.js")
    batch = engine.claim(engine.drive(), max_jobs=2)
    engine.release(batch.lease)
    with held(engine):
        engine.rows("select from qgjob.job where job_id = %s for update", first.job_ids[0])
        with engine.another() as third, ThreadPoolExecutor(1) as pool:
            one = second.blocked(lambda session: session.call("cancel_run", run_id=first.run_id))
            two = Session(third, pool).blocked(lambda session: session.call("cancel_run", run_id=first.run_id))
            engine.connection.execute("commit")
            engine.connection.execute("begin")
            assert sorted([after(one).cancelled, after(two).cancelled]) == [0, 1]
    assert engine.counts(first.run_id) == (0, True)


def test_two_runs_that_share_a_job_cancelled_at_once_cancel_it(engine: Engine, second: Session) -> None:
    first, other = engine.submit("a.js"), engine.submit("a.js")
    with held(engine):
        assert engine.call("cancel_run", run_id=first.run_id) == (0, 0, 1)
        cancelled = second.blocked(lambda session: session.call("cancel_run", run_id=other.run_id))
    assert after(cancelled) == (1, 0, 0)
    assert engine.statuses(first.job_ids) == ["cancelled"]


def on_two_devices(engine: Engine) -> tuple[Any, list[tuple[int, int]]]:
    """A run whose two jobs run on two devices; their leases and ids."""
    run = engine.submit(*({"test_path": "a.js", "selector": {"n": n}} for n in "12"))
    held = []
    for n in "12":
        batch = engine.claim(engine.drive(f"phone-{n}", n=n))
        held.append((batch.lease, batch.jobs[0]["job_id"]))
        engine.start(*held[-1])
    return run, held


def test_two_last_jobs_that_end_at_once_end_their_run_once(engine: Engine, second: Session) -> None:
    engine.rows("select pgmq.create('mine')")
    engine.rows("select pgmq.bind_topic('run.finished', 'mine')")
    run, (one, two) = on_two_devices(engine)
    with held(engine):
        engine.finish(*one)
        late = second.blocked(lambda session: session.finish(*two))
    after(late)
    assert engine.counts(run.run_id) == (0, True)
    assert engine.value("select count(*) from pgmq.q_mine") == 1


HEADLESS = """select count(*) from qgjob.job_group where head_priority is null
    and exists (select from qgjob.job where job.group_id = job_group.group_id and status = 'pending')"""


def test_a_group_that_gets_a_job_while_its_head_is_lowered_has_a_head(engine: Engine, second: Session) -> None:
    engine.submit("a.js")
    driver = engine.drive()
    with held(engine):
        engine.claim(driver)  # takes the last job and lowers the head
        other = second.blocked(lambda session: session.submit("b.js"))
    after(other)
    assert engine.value(HEADLESS) == 0


def test_a_head_is_not_lowered_while_somebody_adds_a_job(engine: Engine, second: Session) -> None:
    engine.submit("a.js")
    driver = engine.drive()
    with held(engine):
        engine.submit("b.js")
        after(second.begin(lambda session: session.claim(driver)))
    assert engine.value(HEADLESS) == 0


def test_a_head_is_not_lowered_while_a_job_goes_back(engine: Engine, second: Session) -> None:
    run = engine.submit("a.js", {"test_path": "b.js", "priority": "urgent"})
    one, two = engine.drive("phone-1"), engine.drive("phone-2")
    batch = engine.claim(one, max_jobs=1)
    engine.start(batch.lease, run.job_ids[1])
    with held(engine):
        engine.finish(batch.lease, run.job_ids[1], "failed", "infrastructure")
        engine.release(batch.lease)
        after(second.begin(lambda session: session.claim(two)))
    assert engine.value(HEADLESS) == 0
    assert engine.value("select head_priority from qgjob.job_group") == 3


@pytest.mark.parametrize("takes", ["cancels", "claims"])
def test_a_head_is_not_lowered_by_who_does_not_see_what_was_added(engine: Engine, takes: str) -> None:
    (job_id,) = engine.submit("a.js").job_ids
    driver = engine.drive()
    with engine.another() as other:
        other.connection.execute("begin isolation level repeatable read")
        other.rows("select from qgjob.job")
        engine.submit("b.js")
        if takes == "cancels":
            other.call("cancel_job", job_id=job_id)
        else:
            other.run_batch(driver)
        other.connection.execute("commit")
    assert engine.value(HEADLESS) == 0
    assert [job["test_path"] for job in engine.claim(driver).jobs] == ["b.js"]


def test_a_job_that_goes_back_waits_for_the_head_to_be_lowered(engine: Engine, second: Session) -> None:
    run = engine.submit("a.js", "b.js")
    batch = engine.claim(engine.drive("phone-1"), max_jobs=1)
    engine.start(batch.lease, run.job_ids[0])
    with held(engine):
        engine.call("cancel_job", job_id=run.job_ids[1])  # the last that is pending: lowers the head
        back = second.blocked(lambda session: session.finish(batch.lease, run.job_ids[0], "failed", "infrastructure"))
    assert after(back).status == "pending"
    assert engine.value(HEADLESS) == 0


def test_a_group_that_has_lost_its_head_gets_it_back(engine: Engine) -> None:
    """Nothing is known to take it; but its jobs would wait for ever."""
    for build in range(3):
        engine.submit("a.js", {"test_path": "b.js", "priority": "high"}, build=f"v{build}")
    before = engine.rows("select group_id, head_priority, head_at from qgjob.job_group order by group_id")
    engine.rows("update qgjob.job_group set head_priority = null, head_at = null, rank_at = null "
                "where group_id <> %s returning 1", before[1].group_id)  # fmt: skip
    engine.rows("update qgjob.lane set active = false returning 1")
    driver = engine.drive()
    assert engine.value("select count(*) from qgjob.lane where active") == 0
    assert [engine.value("select qgjob.reconcile_heads()") for _ in range(2)] == [2, 0]
    assert engine.rows("select group_id, head_priority, head_at from qgjob.job_group order by group_id") == before
    assert len(engine.run_all(driver)) == 6


def limited(engine: Engine, most: int, org: str = "acme") -> None:
    engine.rows("update qgjob.org set max_devices = %s where org_id = %s returning 1", most, org)


def live_batches(engine: Engine, org: str = "acme") -> int:
    return int(engine.value("select count(*) from qgjob.batch where org_id = %s and ended_at is null", org))


def test_two_claims_in_two_lanes_do_not_share_the_last_device(engine: Engine, second: Session) -> None:
    engine.submit({"test_path": "a.js", "selector": {"os": "14"}}, {"test_path": "b.js", "selector": {"os": "15"}})
    limited(engine, 1)
    one, two = engine.drive("phone-1", os="14"), engine.drive("phone-2", os="15")
    with held(engine):
        assert engine.claim(one)
        other = second.blocked(lambda session: session.claim(two))
    assert after(other) is None
    assert live_batches(engine) == 1


def test_a_claim_that_was_rolled_back_leaves_its_room_to_the_next(engine: Engine, second: Session) -> None:
    engine.submit({"test_path": "a.js", "selector": {"os": "14"}}, {"test_path": "b.js", "selector": {"os": "15"}})
    limited(engine, 1)
    one, two = engine.drive("phone-1", os="14"), engine.drive("phone-2", os="15")
    with engine.connection.transaction() as rolled_back:
        engine.claim(one)
        other = second.blocked(lambda session: session.claim(two))
        raise psycopg.Rollback(rolled_back)
    assert after(other).jobs[0]["test_path"] == "b.js"


def test_who_goes_on_with_its_build_takes_the_last_device_from_others(engine: Engine, second: Session) -> None:
    run = engine.submit("a.js", "b.js")
    one, two = engine.drive("phone-1"), engine.drive("phone-2", os="15")
    batch = engine.claim(one, max_jobs=1)
    engine.call("record_install", lease=batch.lease)
    engine.run_job(batch.lease, run.job_ids[0])
    engine.release(batch.lease)
    engine.submit({"test_path": "c.js", "selector": {"os": "15"}})
    limited(engine, 1)
    with held(engine):
        assert not engine.claim(one).install
        other = second.blocked(lambda session: session.claim(two))
    assert after(other) is None
    assert live_batches(engine) == 1


def test_two_that_take_back_at_once_do_not_share_the_last_device(engine: Engine, second: Session) -> None:
    engine.submit(*(f"{number}.js" for number in range(20)))
    assert len(engine.claim(engine.drive("phone-1")).jobs) == 20, "it is the only device"
    one, two = engine.drive("phone-2"), engine.drive("phone-3")
    limited(engine, 2)
    with held(engine):
        assert engine.claim(one)
        assert after(second.begin(lambda session: session.claim(two))) is None
    assert live_batches(engine) == 2


def test_taking_back_and_the_end_of_a_batch_make_no_deadlock(engine: Engine, second: Session) -> None:
    engine.submit(*({"test_path": f"{number}.js", "selector": {"os": "14"}} for number in range(12)))
    busy = engine.drive("phone-1", os="14")
    assert len(engine.claim(busy).jobs) == 12
    engine.submit("other.js", build="v2")
    other = engine.claim(engine.drive("phone-2", os="14"))
    (job_id,) = engine.submit({"test_path": "z.js", "selector": {"z": "1"}}, org="other").job_ids
    idle = engine.drive("phone-3", os="14", z="1")
    with engine.another() as cancelling, cancelling.connection.transaction():
        cancelling.call("cancel_job", job_id=job_id)  # a claim takes its lane, and passes it over
        with held(engine):
            engine.rows('select from qgjob.lane where selector = \'{"os": "14"}\' for no key update')
            released = second.blocked(lambda session: session.release(other.lease))
            with engine.another() as third:
                assert third.claim(idle) is None
    after(released)


def test_the_end_of_a_batch_waits_for_no_lane_that_it_does_not_charge(engine: Engine, second: Session) -> None:
    engine.submit("a.js", {"test_path": "b.js", "target": "device"}, {"test_path": "c.js", "selector": {"os": "14"}})
    batch = engine.claim(engine.drive())
    with held(engine):
        engine.rows("select from qgjob.lane where target = 'device' or selector <> '{}' for no key update")
        after(second.begin(lambda session: session.release(batch.lease)))


def test_claims_of_two_limited_organisations_make_no_deadlock(engine: Engine, second: Session) -> None:
    for org in ("acme", "other"):
        engine.submit({"test_path": "a.js", "selector": {"os": "14"}}, {"test_path": "b.js"}, org=org)
        limited(engine, 1, org)
    one, two = engine.drive("phone-1"), engine.drive("phone-2", os="14")
    third = engine.drive("phone-3", os="14")
    first = engine.claim(one)
    with held(engine):
        assert engine.claim(two).org_id != first.org_id  # has passed the first, which is full, and holds both
        last = second.blocked(lambda session: session.claim(third))
    assert after(last) is None
    assert live_batches(engine) == live_batches(engine, "other") == 1


def with_an_empty_lane(engine: Engine, most: int | None = None) -> tuple[Driver, Any]:
    """A batch in the first lane, and an idle device that comes by an empty lane before it comes to that one."""
    first, second, third = ({"test_path": "a.js", "selector": {key: "1"}} for key in "xyz")
    engine.submit(first, second)
    batch = engine.claim(engine.drive("phone-1", x="1", y="1"))
    engine.submit(first, build="v2")
    (job_id,) = engine.submit(third).job_ids
    engine.call("cancel_job", job_id=job_id)
    engine.rows("update qgjob.lane set pass = case when selector ? 'z' then 0 else 100 end returning 1")
    engine.call("change_org", org_id="acme", changes={"max_devices": most})
    return engine.drive("phone-2", x="1", y="1", z="1"), batch


def test_a_claim_that_goes_to_another_group_and_a_submission_to_both_make_no_deadlock(
    engine: Engine, second: Session
) -> None:
    """The claim ends the batch of one group, and leaves the other to its next call."""
    engine.submit("a.js", build="v1")
    engine.submit({"test_path": "b.js", "priority": "high"}, build="v2")
    driver = engine.drive()
    engine.run_batch(driver)
    first, last = (
        engine.value("select group_id from qgjob.job_group where app_version_id = %s", build) for build in ("v1", "v2")
    )
    assert first < last
    lock = "select group_id from qgjob.job_group where group_id = %s for no key update"
    with held(engine):  # as a submission that adds to both
        engine.rows(lock, first)
        assert after(second.begin(lambda session: session.claim(driver))) is None
        engine.rows(lock, last)
    assert engine.claim(driver).app_version_id == "v1"


def test_a_claim_that_finds_an_empty_lane_and_the_end_of_a_batch_make_no_deadlock(
    engine: Engine, second: Session
) -> None:
    idle, batch = with_an_empty_lane(engine)
    with engine.another() as third, ThreadPoolExecutor(1) as pool:
        with held(engine):
            engine.rows("select from qgjob.lane where selector ? 'y' for no key update")
            released = second.blocked(lambda session: session.release(batch.lease))  # holds the first lane
            claimed = Session(third, pool).blocked(lambda session: session.claim(idle))
        after(released)
        assert after(claimed)
    assert engine.value("select count(*) from qgjob.lane where active") == 2


def test_a_claim_that_finds_an_empty_lane_and_a_change_of_weight_make_no_deadlock(
    engine: Engine, second: Session
) -> None:
    idle, _ = with_an_empty_lane(engine, most=5)
    with engine.another() as third, ThreadPoolExecutor(1) as pool:
        with held(engine):
            engine.rows("select from qgjob.lane where selector ? 'x' for no key update")
            changed = second.blocked(lambda session: session.call("change_org", org_id="acme", changes={"weight": 3}))
            claimed = Session(third, pool).blocked(lambda session: session.claim(idle))
        after(changed)
        assert after(claimed)


def test_a_submission_that_puts_lanes_to_rest_and_the_end_of_a_batch_make_no_deadlock(
    engine: Engine, second: Session
) -> None:
    def selecting(*numbers: int) -> list[dict[str, object]]:
        return [{"test_path": "a.js", "selector": {"number": str(number)}} for number in numbers]

    def submitted_and_cancelled(*numbers: int) -> None:
        engine.call("cancel_run", run_id=engine.submit(*selecting(*numbers)).run_id)

    engine.submit("a.js")
    batch = engine.claim(engine.drive(number="1"))
    submitted_and_cancelled(0)
    engine.rows("select qgjob.rest_lane(lane_id) from qgjob.lane")
    submitted_and_cancelled(*range(1, 201))
    with engine.another() as third, ThreadPoolExecutor(1) as pool:
        with held(engine):
            engine.rows('select from qgjob.lane where selector = \'{"number": "1"}\' for no key update')
            released = second.blocked(lambda session: session.release(batch.lease))  # holds its own lane
            assert (
                after(Session(third, pool).begin(lambda session: session.submit(*selecting(0), build="v2"))).total == 1
            )
        after(released)


def test_two_submissions_of_the_same_new_lanes_for_several_builds_make_no_deadlock(
    engine: Engine, second: Session
) -> None:
    def submit(session: Engine, *pairs: tuple[str, str]) -> None:
        session.call("submit_jobs", submissions=Jsonb([
            {"org_id": "acme", "app_version_id": build, "job": {"test_path": "a.js", "selector": {"os": os}}}
            for build, os in pairs]))  # fmt: skip

    for build in ("v1", "v2"):
        engine.submit("a.js", build=build)
    with engine.another() as third, ThreadPoolExecutor(1) as pool:
        with held(engine):
            engine.submit({"test_path": "a.js", "selector": {"os": "14"}}, build="v3")
            one = second.blocked(lambda session: submit(session, ("v1", "13"), ("v2", "14"), ("v2", "15")))
            other = Session(third, pool).blocked(lambda session: submit(session, ("v1", "15"), ("v2", "13")))
        after(one)
        after(other)


def test_a_build_that_gets_its_file_and_the_end_of_a_batch_make_no_deadlock(engine: Engine, second: Session) -> None:
    """Changing a group twice, as claims and ends do, makes PostgreSQL look whether its build is there, and lock it."""
    engine.submit(*(f"{number}.js" for number in range(40)))
    one, two = (engine.claim(engine.drive(f"phone-{number}")) for number in range(2))
    with held(engine):
        engine.release(one.lease)
        added = second.blocked(lambda session: session.call(
            "add_artifact", org_id="acme", app_version_id="v1", platform="android", url="https://ci.example.com/a.apk",
            sha256="0" * 64))  # fmt: skip
        engine.release(two.lease)
    assert after(added).added
    assert engine.value("select build from qgjob.job_group") != two.build


def test_a_worker_that_leaves_while_it_claims_leaves_no_batch(engine: Engine, second: Session) -> None:
    engine.submit("a.js")
    driver = engine.drive()
    with held(engine):
        engine.claim(driver)
        ended = second.blocked(lambda session: session.call("end_worker", worker_id=driver.worker_id))
    after(ended)
    assert engine.value("select count(*) from qgjob.batch where ended_at is null") == 0


def test_a_worker_that_has_left_meanwhile_claims_nothing(engine: Engine, second: Session) -> None:
    engine.submit("a.js")
    driver = engine.drive()
    with held(engine):
        engine.call("end_worker", worker_id=driver.worker_id)
        late = second.blocked(lambda session: session.claim(driver))
    with refused("device_has_one_worker"):
        after(late)


def test_two_workers_that_register_one_device_are_told_apart(engine: Engine, second: Session) -> None:
    with held(engine):
        engine.drive()
        other = second.blocked(lambda session: session.drive())
    with refused("device_has_one_worker"):
        after(other)


def test_the_end_of_many_batches_does_not_deadlock_with_a_result(engine: Engine, second: Session) -> None:
    run, (one, two) = on_two_devices(engine)
    engine.call("cancel_run", run_id=run.run_id)
    for lease, _ in (one, two):
        engine.expire(lease)
    with held(engine):
        engine.rows("select from qgjob.job where job_id = %s for no key update", two[1])
        reaped = second.blocked(lambda session: session.call("housekeep"))
        # The reaper waits for this session, so it must not hold the run yet that this result counts down.
        assert engine.finish(*two, "cancelled") == ("cancelled", True)
    assert after(reaped).expired == 2
    assert engine.counts(run.run_id) == (0, True)


def test_a_message_is_submitted_once_by_two_housekeepers(engine: Engine, second: Session) -> None:
    engine.rows(
        """select pgmq.send('submissions',
        '{"org_id": "acme", "app_version_id": "v1", "jobs": [{"test_path": "a.js"}]}')"""
    )
    with held(engine):
        assert engine.call("housekeep").submitted == 1
        assert after(second.begin(lambda session: session.call("housekeep"))).submitted == 0
    assert engine.call("housekeep").submitted == 0
    assert engine.value("select count(*) from qgjob.run") == 1


def test_a_wait_that_is_cut_off_changes_nothing(engine: Engine, second: Session) -> None:
    _, batch, run = started(engine)
    with held(engine):
        engine.rows("select from qgjob.job for update")
        late = second.blocked(lambda session: session.finish(batch.lease, run.job_ids[0]))
        engine.rows("select pg_terminate_backend(%s)", second.engine.connection.info.backend_pid)
        with pytest.raises(psycopg.OperationalError):
            after(late)
    assert engine.statuses(run.job_ids) == ["running"]
    assert engine.finish(batch.lease, run.job_ids[0]) == ("completed", True)
