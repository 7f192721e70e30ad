"""How a job's status follows from its attempts, and that both are written once."""

from pathlib import Path

import psycopg
import pytest
from engine import Driver, Engine, refused
from processes import Services, both_transports
from psycopg.types.json import Jsonb

from qgjob.children import wait_until


def lose(engine: Engine, driver: Driver, job_id: int) -> int:
    """The device is lost while it runs the job; the lease it had."""
    batch = engine.claim(driver)
    engine.start(batch.lease, job_id)
    engine.expire(batch.lease)
    engine.call("housekeep")
    return int(batch.lease)


def attempts(engine: Engine, job_id: int) -> list[tuple[int, str, str | None]]:
    return engine.rows("select number, status, failure_kind from qgjob.attempt where job_id = %s order by 1", job_id)


def test_a_passed_job_is_completed_and_its_run_ends(engine: Engine) -> None:
    run = engine.submit("a.js")
    engine.run_all(engine.drive())
    job = engine.job(run.job_ids[0])
    assert (job.status, job.failure_kind, job.flaky, job.attempts) == ("completed", None, False, 1)
    assert engine.run(run.run_id).status == "completed"
    assert engine.counts(run.run_id) == (0, True)


@pytest.mark.parametrize("kind", ["test", "timeout"])
def test_a_failed_test_is_final_by_default(engine: Engine, kind: str) -> None:
    run = engine.submit("a.js")
    batch = engine.claim(engine.drive())
    assert engine.run_job(batch.lease, run.job_ids[0], "failed", kind) == ("failed", True)
    job = engine.job(run.job_ids[0])
    assert (job.status, job.failure_kind, job.flaky) == ("failed", kind, False)
    assert engine.run(run.run_id).status == "failed"


def test_a_failed_test_is_tried_again_as_often_as_was_asked_for(engine: Engine) -> None:
    (job_id,) = engine.submit({"test_path": "a.js", "retries": 2}).job_ids
    driver = engine.drive()
    for expected in ("pending", "pending", "failed"):
        batch = engine.claim(driver)
        assert engine.run_job(batch.lease, job_id, "failed", "test").status == expected
        engine.release(batch.lease)
    assert engine.claim(driver) is None
    assert attempts(engine, job_id) == [(number, "failed", "test") for number in (1, 2, 3)]


def test_an_attempt_says_how_long_it_waited_for_those_before_it_in_its_batch(engine: Engine) -> None:
    first, second = engine.submit("a.js", "b.js").job_ids
    batch = engine.claim(engine.drive())
    engine.move_clock(20)
    engine.call("record_install", lease=batch.lease)
    engine.start(batch.lease, first)
    engine.move_clock(7)
    engine.finish(batch.lease, first)
    engine.run_job(batch.lease, second)
    waited = [engine.call("list_attempts", job_id=job_id) for job_id in (first, second)]
    assert [one.install_s for one in waited] == pytest.approx([20, 20], abs=1)
    assert [one.batch_s for one in waited] == pytest.approx([0, 7], abs=1)


def test_a_failure_that_is_permanent_uses_up_no_retries(engine: Engine) -> None:
    (job_id,) = engine.submit({"test_path": "a.js", "retries": 2}).job_ids
    batch = engine.claim(engine.drive())
    engine.start(batch.lease, job_id)
    assert engine.finish(batch.lease, job_id, "failed", "test", permanent=True) == ("failed", True)
    assert engine.finish(batch.lease, job_id, "failed", "test", permanent=True) == ("failed", False)
    assert attempts(engine, job_id) == [(1, "failed", "test")]
    assert engine.value("select permanent from reporting.attempts where job_id = %s", job_id)


@both_transports
def test_a_spec_that_is_not_there_is_not_tried_again(engine: Engine, services: Services, tmp_path: Path) -> None:
    services.api()
    services.worker("lab", "--project", str(tmp_path), "--executor", "command", "--setting", 'run=["true"]')
    run = engine.submit({"test_path": "none.py", "retries": 2})
    assert wait_until(lambda: engine.run(run.run_id).finished_at is not None, 60)
    job = engine.job(run.job_ids[0])
    assert (job.status, job.failure_kind, job.attempts) == ("failed", "test", 1)


def test_a_pass_after_a_failure_is_flaky(engine: Engine) -> None:
    (job_id,) = engine.submit({"test_path": "a.js", "retries": 1}).job_ids
    driver = engine.drive()
    batch = engine.claim(driver)
    engine.run_job(batch.lease, job_id, "failed", "timeout")
    engine.release(batch.lease)
    engine.run_all(driver)
    job = engine.job(job_id)
    assert (job.status, job.flaky, job.failure_kind) == ("completed", True, None)


def test_a_lost_device_does_not_make_a_job_flaky(engine: Engine) -> None:
    (job_id,) = engine.submit("a.js").job_ids
    driver = engine.drive()
    lose(engine, driver, job_id)
    engine.run_all(driver)
    job = engine.job(job_id)
    assert (job.status, job.flaky, job.attempts) == ("completed", False, 2)


def test_lost_devices_are_forgiven_three_times(engine: Engine) -> None:
    run = engine.submit("a.js", "b.js")
    driver = engine.drive()
    for _ in range(3):
        lose(engine, driver, run.job_ids[0])
        assert engine.statuses(run.job_ids) == ["pending", "pending"]
    lose(engine, driver, run.job_ids[0])
    job = engine.job(run.job_ids[0])
    assert (job.status, job.failure_kind, job.attempts) == ("failed", "infrastructure", 4)
    assert engine.counts(run.run_id) == (1, False)
    assert engine.run_all(driver) == [run.job_ids[1]]
    assert engine.counts(run.run_id) == (0, True)


def test_reported_infrastructure_failures_have_the_same_budget(engine: Engine) -> None:
    (job_id,) = engine.submit("a.js").job_ids
    for number, expected in enumerate(("pending", "pending", "pending", "failed")):
        batch = engine.claim(engine.drive(f"phone-{number}"))
        assert engine.run_job(batch.lease, job_id, "failed", "infrastructure").status == expected
        engine.release(batch.lease)
    assert engine.job(job_id).failure_kind == "infrastructure"
    assert engine.claim(engine.drive("phone-9")) is None


@pytest.mark.parametrize("reason", ["unprepared", "unfetched"])
def test_a_batch_that_cannot_be_prepared_is_a_loss_for_all_its_jobs(engine: Engine, reason: str) -> None:
    run = engine.submit("a.js", "b.js")
    for number in range(8):
        if batch := engine.claim(engine.drive(f"phone-{number}")):
            engine.call("release_batch", lease=batch.lease, reason=reason, message="no space left")
    for job_id in run.job_ids:
        job = engine.job(job_id)
        assert (job.status, job.failure_kind, job.message) == ("failed", "infrastructure", "no space left")
        assert attempts(engine, job_id) == [(number, "failed", "infrastructure") for number in (1, 2, 3, 4)]
    assert engine.counts(run.run_id) == (0, True)


def test_a_lost_device_does_not_burn_a_retry_nor_a_failed_test_a_loss(engine: Engine) -> None:
    (job_id,) = engine.submit({"test_path": "a.js", "retries": 1}).job_ids
    driver = engine.drive()
    for _ in range(3):
        lose(engine, driver, job_id)
    batch = engine.claim(driver)
    assert engine.run_job(batch.lease, job_id, "failed", "test").status == "pending"
    engine.release(batch.lease)
    batch = engine.claim(driver)
    assert engine.run_job(batch.lease, job_id, "failed", "test").status == "failed"
    assert engine.job(job_id).failure_kind == "test"


def test_a_reported_infrastructure_failure_does_not_burn_a_retry(engine: Engine) -> None:
    (job_id,) = engine.submit({"test_path": "a.js", "retries": 1}).job_ids
    driver = engine.drive()
    for kind, expected in (("infrastructure", "pending"), ("test", "pending"), ("test", "failed")):
        batch = engine.claim(driver)
        assert engine.run_job(batch.lease, job_id, "failed", kind).status == expected
        engine.release(batch.lease)


def test_jobs_handed_back_lose_no_attempt(engine: Engine) -> None:
    run = engine.submit("a.js", "b.js")
    driver = engine.drive()
    for reason in ("done", "drained") * 3:
        batch = engine.claim(driver)
        engine.start(batch.lease, batch.jobs[0]["job_id"])
        engine.release(batch.lease, reason)
    assert engine.statuses(run.job_ids) == ["pending", "pending"]
    assert engine.value("select sum(attempts + losses) from qgjob.job") == 0


def test_a_repeated_result_changes_nothing(engine: Engine) -> None:
    run = engine.submit("a.js", "b.js")
    batch = engine.claim(engine.drive(), max_jobs=2)
    engine.run_job(batch.lease, run.job_ids[0], "failed", "test")
    before = engine.row("select * from qgjob.job where job_id = %s", run.job_ids[0])
    assert engine.finish(batch.lease, run.job_ids[0], "failed", "test") == ("failed", False)
    assert engine.row("select * from qgjob.job where job_id = %s", run.job_ids[0]) == before
    assert engine.counts(run.run_id) == (1, False)


def test_a_repeated_result_of_a_job_that_goes_on_is_answered_with_its_status_now(engine: Engine) -> None:
    (job_id,) = engine.submit({"test_path": "a.js", "retries": 1}).job_ids
    driver = engine.drive()
    batch = engine.claim(driver)
    engine.run_job(batch.lease, job_id, "failed", "test")
    engine.release(batch.lease)
    engine.run_all(driver)
    assert engine.finish(batch.lease, job_id, "failed", "test") == ("completed", False)


def test_another_result_for_the_same_attempt_is_refused(engine: Engine) -> None:
    (job_id,) = engine.submit("a.js").job_ids
    batch = engine.claim(engine.drive())
    engine.run_job(batch.lease, job_id)
    for status, kind in (("failed", "test"), ("failed", "infrastructure")):
        with refused("lease_is_held"):
            engine.finish(batch.lease, job_id, status, kind)
    assert engine.job(job_id).status == "completed"


def test_a_job_whose_start_nobody_reported_ran_since_its_batch_was_claimed(engine: Engine) -> None:
    (job_id,) = engine.submit("a.js").job_ids
    batch = engine.claim(engine.drive())
    assert engine.finish(batch.lease, job_id).status == "completed"
    claimed_at = engine.value("select claimed_at from qgjob.batch where batch_id = %s", batch.lease)
    assert engine.job(job_id).started_at == claimed_at
    assert engine.rows("select * from qgjob.test_timing") == []  # nobody knows how long it took


def finish_together(engine: Engine, lease: int, *results: dict[str, object]) -> dict[int, tuple[str, bool]]:
    found = engine.rows("select * from qgjob.finish_jobs(p_lease => %s, p_results => %s)", lease, Jsonb(list(results)))
    return {row.job_id: (row.status, row.recorded) for row in found}


def claim_four(engine: Engine) -> tuple[int, list[int]]:
    """A lease and its jobs, half of what is pending."""
    engine.submit(*(f"{number}.js" for number in range(8)))
    batch = engine.claim(engine.drive(), max_jobs=4)
    return batch.lease, [job["job_id"] for job in batch.jobs]


def test_many_results_are_recorded_at_once_and_again_without_effect(engine: Engine) -> None:
    lease, jobs = claim_four(engine)
    one, two, three, four = jobs
    results = [
        {"job_id": one, "status": "completed"},
        {"job_id": two, "status": "failed", "failure_kind": "test", "message": "cart total"},
        {"job_id": three, "status": "failed", "failure_kind": "timeout"},
        {"job_id": four, "status": "failed", "failure_kind": "infrastructure"},
    ]
    told = {one: "completed", two: "failed", three: "failed", four: "pending"}
    assert finish_together(engine, lease, *results) == {job: (now, True) for job, now in told.items()}
    assert finish_together(engine, lease, *results) == {job: (now, False) for job, now in told.items()}
    assert engine.job(two).message == "cart total"
    assert [engine.job(job).attempts for job in jobs] == [1, 1, 1, 1]


def test_one_wrong_result_and_none_is_recorded(engine: Engine) -> None:
    lease, jobs = claim_four(engine)
    one, two, *_ = jobs
    right: dict[str, object] = {"job_id": one, "status": "completed"}
    wrong: list[tuple[dict[str, object], str]] = [
        ({"job_id": two, "status": "failed"}, "a_failure_has_a_kind"),
        ({"job_id": two, "status": "passed"}, "a_failure_has_a_kind"),
        ({"job_id": two, "status": "cancelled"}, "cancellation_was_requested"),
        ({"job_id": two + 1000, "status": "completed"}, "job_exists"),
        ({"status": "completed"}, "a_failure_has_a_kind"),
        (right, "a_job_ends_once"),
    ]
    for result, rule in wrong:
        with refused(rule):
            finish_together(engine, lease, right, result)
    with refused("results_are_a_list"):
        engine.rows("select * from qgjob.finish_jobs(%s, '{}')", lease)
    assert engine.statuses(jobs) == ["queued"] * 4


@pytest.mark.parametrize("wrong", [5, {"tests": "t"}, {"files": 5}, {"reset_s": "NaN"}])
def test_what_is_in_a_result_is_well_formed(engine: Engine, wrong: object) -> None:
    run = engine.submit("a.js")
    batch = engine.claim(engine.drive())
    result = {"job_id": run.job_ids[0], "status": "completed", **wrong} if isinstance(wrong, dict) else wrong
    with refused("results_are_a_list"):
        engine.call("finish_jobs", lease=batch.lease, results=Jsonb([result]))
    assert engine.job(run.job_ids[0]).status == "queued"


def test_no_result_is_taken_without_a_lease(engine: Engine) -> None:
    (job_id,) = engine.submit("a.js").job_ids
    for write in (engine.start, engine.finish):
        with refused("lease_is_held"):
            write(None, job_id)  # type: ignore[operator]
    engine.run_all(engine.drive())
    for write in (engine.start, engine.finish):
        with refused("lease_is_held"):
            write(None, job_id)  # type: ignore[operator]


def test_a_lease_writes_only_its_own_jobs(engine: Engine) -> None:
    engine.submit("a.js", build="v1")
    (other,) = engine.submit("b.js", build="v2").job_ids
    batch = engine.claim(engine.drive())
    engine.claim(engine.drive("phone-2"))
    for write in (engine.start, engine.finish):
        with refused("lease_is_held"):
            write(batch.lease, other)
    assert engine.job(other).status == "queued"


def test_a_job_that_does_not_exist_is_told_as_such(engine: Engine) -> None:
    engine.submit("a.js")
    batch = engine.claim(engine.drive())
    with refused("job_exists"):
        engine.finish(batch.lease, 10_000)
    with refused("lease_is_held"):
        engine.start(batch.lease, 10_000)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("completed", "test"),
        ("failed", None),
        ("failed", "flaky"),
        ("cancelled", "test"),
        ("pending", None),
        (None, None),
    ],
)
def test_a_result_is_well_formed(engine: Engine, status: str, kind: str | None) -> None:
    (job_id,) = engine.submit("a.js").job_ids
    batch = engine.claim(engine.drive())
    engine.start(batch.lease, job_id)
    with refused("a_failure_has_a_kind"):
        engine.finish(batch.lease, job_id, status, kind)
    assert engine.job(job_id).status == "running"


def test_only_a_requested_cancellation_ends_as_cancelled(engine: Engine) -> None:
    (job_id,) = engine.submit("a.js").job_ids
    batch = engine.claim(engine.drive())
    engine.start(batch.lease, job_id)
    with refused("cancellation_was_requested"):
        engine.finish(batch.lease, job_id, "cancelled")


def test_logs_keep_their_end_and_messages_their_beginning(engine: Engine) -> None:
    (job_id,) = engine.submit("a.js").job_ids
    batch = engine.claim(engine.drive())
    engine.start(batch.lease, job_id)
    engine.finish(batch.lease, job_id, "failed", "test", message="m" * 5000 + "end", log="first" + "x" * 65_536)
    assert engine.job(job_id).message == "m" * 4000
    assert engine.call("get_log", job_id=job_id).log == "x" * 65_536


def test_every_attempt_keeps_its_log(engine: Engine) -> None:
    (job_id,) = engine.submit({"test_path": "a.js", "retries": 1}).job_ids
    driver = engine.drive()
    for log in ("first", "second"):
        batch = engine.claim(driver)
        engine.start(batch.lease, job_id)
        engine.finish(batch.lease, job_id, "failed", "test", log=log)
        engine.release(batch.lease)
    assert engine.call("get_log", job_id=job_id).log == "second"
    assert engine.call("get_log", job_id=job_id, attempt=1).log == "first"
    listed = engine.rows("select number, status, device from qgjob.list_attempts(%s)", job_id)
    assert listed == [(1, "failed", "phone-1"), (2, "failed", "phone-1")]
    with refused("attempt_exists"):
        engine.call("get_log", job_id=job_id, attempt=3)


def test_attempts_never_change(engine: Engine) -> None:
    engine.submit("a.js")
    engine.run_all(engine.drive())
    with pytest.raises(psycopg.Error, match="never changes"):
        engine.rows("update qgjob.attempt set status = 'failed', failure_kind = 'test' returning 1")


def test_a_final_status_never_changes(engine: Engine) -> None:
    engine.submit("a.js")
    engine.run_all(engine.drive())
    with pytest.raises(psycopg.Error, match="never changes"):
        engine.rows("update qgjob.job set status = 'pending', finished_at = null returning 1")


def test_results_stay_when_the_rest_is_cancelled(engine: Engine) -> None:
    run = engine.submit("a.js", "b.js")
    batch = engine.claim(engine.drive(), max_jobs=1)
    engine.run_job(batch.lease, run.job_ids[0])
    engine.call("cancel_run", run_id=run.run_id)
    assert engine.statuses(run.job_ids) == ["completed", "cancelled"]
    ended = engine.run(run.run_id)
    assert (ended.status, ended.completed, ended.cancelled, ended.attempts) == ("cancelled", 1, 1, 1)
