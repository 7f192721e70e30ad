"""Only the lease that holds a job writes its result, and a lease that nobody renews ends."""

import psycopg
import pytest
from engine import Driver, Engine, refused


def claimed(engine: Engine, driver: Driver, *, started: bool = True) -> tuple[int, int]:
    """A lease and its only job."""
    batch = engine.claim(driver)
    (job,) = batch.jobs
    if started:
        engine.start(batch.lease, job["job_id"])
    return batch.lease, job["job_id"]


def assert_dead(engine: Engine, lease: int, job_id: int) -> None:
    """Nothing that this lease still tries changes anything."""

    def state() -> object:
        return [
            engine.rows("select * from qgjob.job order by 1"),
            engine.rows("select * from qgjob.batch order by 1"),
            engine.rows("select * from qgjob.device order by 1"),
            engine.rows("select job_id, number from qgjob.attempt order by 1, 2"),
            engine.rows("select run_id, remaining from qgjob.run order by 1"),
        ]

    before = state()
    with refused("lease_is_held"):
        engine.start(lease, job_id)
    for status, kind in (("completed", None), ("failed", "test"), ("failed", "timeout"), ("cancelled", None)):
        with refused("lease_is_held"):
            engine.finish(lease, job_id, status, kind)
    with refused("lease_is_held"):
        engine.call("record_install", lease=lease)
    for reason in ("done", "drained", "unprepared"):
        engine.release(lease, reason)
    assert state() == before


def test_a_lease_that_ran_out_is_dead_while_nobody_has_its_job(engine: Engine) -> None:
    engine.submit("a.js")
    lease, job_id = claimed(engine, engine.drive())
    engine.expire(lease)
    assert engine.call("housekeep").expired == 1
    assert engine.job(job_id).status == "pending"
    assert_dead(engine, lease, job_id)


def test_a_lease_that_ran_out_is_dead_while_another_device_has_its_job(engine: Engine) -> None:
    engine.submit("a.js")
    lease, job_id = claimed(engine, engine.drive("phone-1"))
    engine.expire(lease)
    engine.call("housekeep")
    newer, _ = claimed(engine, engine.drive("phone-2"))
    assert_dead(engine, lease, job_id)
    assert engine.finish(newer, job_id) == ("completed", True)
    assert_dead(engine, lease, job_id)


def test_a_lease_that_ran_out_is_dead_while_its_own_device_runs_the_job_again(engine: Engine) -> None:
    engine.submit("a.js")
    driver = engine.drive()
    lease, job_id = claimed(engine, driver)
    engine.expire(lease)
    newer, _ = claimed(engine, driver)
    assert newer != lease
    assert_dead(engine, lease, job_id)


def test_the_fence_is_the_lease_and_not_the_number_of_the_attempt(engine: Engine) -> None:
    engine.submit("a.js")
    driver = engine.drive("phone-1")
    lease, job_id = claimed(engine, driver, started=False)
    engine.expire(lease)
    engine.call("housekeep")
    batch = engine.claim(engine.drive("phone-2"))
    assert batch.jobs[0]["attempt"] == 1, "what was never started counts no attempt"
    assert_dead(engine, lease, job_id)
    engine.start(batch.lease, job_id)
    assert_dead(engine, lease, job_id)


def test_a_released_lease_is_dead(engine: Engine) -> None:
    engine.submit("a.js")
    lease, job_id = claimed(engine, engine.drive())
    engine.release(lease)
    assert_dead(engine, lease, job_id)


def test_a_lease_that_never_was_is_refused(engine: Engine) -> None:
    with refused("lease_is_held"):
        engine.release(10_000)
    with refused("lease_is_held"):
        engine.call("record_install", lease=10_000)
    with refused("end_reason_is_known"):
        engine.release(10_000, "expired")


def test_a_heartbeat_renews_all_leases_of_its_worker_and_no_others(engine: Engine) -> None:
    engine.submit("a.js", "b.js", build="v1")
    engine.submit("a.js", "b.js", build="v2")
    engine.submit("a.js", "b.js", build="v3")
    driver = engine.drive("phone-1")
    second = engine.call("register_device", worker_id=driver.worker_id, name="phone-2", target="emulator").device_id
    leases = [engine.claim(driver).lease, engine.claim(Driver(driver.worker_id, second)).lease]
    other = engine.claim(engine.drive("phone-3")).lease
    engine.move_clock(20)
    assert engine.call("heartbeat", worker_id=driver.worker_id).leases == leases
    engine.move_clock(20)
    engine.mark("1 hour")
    engine.call("housekeep")
    assert [lease for (lease,) in engine.rows("select batch_id from qgjob.batch where ended_at is null")] == leases
    assert engine.value("select end_reason from qgjob.batch where batch_id = %s", other) == "expired"


def test_a_renewal_after_expiry_counts_while_nobody_has_taken_the_batch(engine: Engine) -> None:
    engine.submit("a.js")
    driver = engine.drive()
    lease, job_id = claimed(engine, driver)
    engine.expire(lease)
    assert engine.call("heartbeat", worker_id=driver.worker_id).leases == [lease]
    assert engine.call("housekeep").expired == 0
    assert engine.finish(lease, job_id) == ("completed", True)


def test_a_heartbeat_does_not_revive_a_batch_that_was_taken(engine: Engine) -> None:
    engine.submit("a.js")
    driver = engine.drive()
    lease, _ = claimed(engine, driver)
    engine.expire(lease)
    engine.call("housekeep")
    assert engine.call("heartbeat", worker_id=driver.worker_id).leases == []


def test_an_expired_batch_gives_back_what_was_not_finished_and_nothing_else(engine: Engine) -> None:
    run = engine.submit("a.js", "b.js", "c.js", "d.js", "e.js", "f.js")
    batch = engine.claim(engine.drive(), max_jobs=3)
    first, second, third = (job["job_id"] for job in batch.jobs)
    engine.run_job(batch.lease, first)
    engine.start(batch.lease, second)
    engine.expire(batch.lease)
    engine.call("housekeep")
    assert engine.statuses([first, second, third]) == ["completed", "pending", "pending"]
    assert [engine.job(job_id).attempts for job_id in (first, second, third)] == [1, 1, 0]
    assert sorted(engine.run_all(engine.drive("phone-2"))) == run.job_ids[1:]
    assert engine.counts(run.run_id) == (0, True)


def test_a_device_takes_back_its_own_expired_batch_when_it_asks_for_work(engine: Engine) -> None:
    engine.submit("a.js", "b.js", "c.js")
    driver = engine.drive()
    batch = engine.claim(driver)
    engine.start(batch.lease, batch.jobs[0]["job_id"])
    engine.expire(batch.lease)
    again = engine.claim(driver)
    assert again.lease != batch.lease
    assert engine.value("select end_reason from qgjob.batch where batch_id = %s", batch.lease) == "expired"


def test_everybody_has_the_time_of_a_lease_after_a_crash_of_postgresql(engine: Engine) -> None:
    engine.submit("a.js")
    lease, job_id = claimed(engine, engine.drive())
    engine.expire(lease)
    engine.rows("delete from qgjob.crash_marker returning 1")  # what crash recovery does to an unlogged table
    assert engine.call("housekeep").expired == 0
    assert engine.job(job_id).status == "running"
    engine.move_clock(2)
    assert engine.call("housekeep").expired == 1


def test_a_device_does_not_take_back_its_batch_in_the_grace_after_a_crash(engine: Engine) -> None:
    engine.submit("a.js")
    driver = engine.drive()
    lease, job_id = claimed(engine, driver)
    engine.expire(lease)
    engine.rows("delete from qgjob.crash_marker returning 1")
    with refused("device_holds_one_live_batch"):
        engine.claim(driver)
    assert engine.finish(lease, job_id) == ("completed", True)


def test_leases_do_not_outlive_a_clock_that_goes_back(engine: Engine) -> None:
    engine.submit("a.js")
    lease, job_id = claimed(engine, engine.drive(lease_s=10))
    engine.mark("1 hour")
    engine.move_clock(-24 * 3600)  # before this PostgreSQL was even started
    assert engine.call("housekeep").expired == 0
    engine.move_clock(9)
    assert engine.call("housekeep").expired == 0
    engine.move_clock(2)
    assert engine.call("housekeep").expired == 1
    assert engine.job(job_id).status == "pending"
    assert_dead(engine, lease, job_id)


def test_a_lost_worker_is_known_as_lost_after_the_clock_went_back(engine: Engine) -> None:
    driver = engine.drive(lease_s=10)
    engine.move_clock(-3600)
    engine.call("housekeep")
    engine.move_clock(11)
    assert engine.call("list_workers", worker_id=driver.worker_id).status == "lost"
    assert engine.drive().device_id == driver.device_id


def test_a_clock_that_jumps_ahead_ends_leases_and_fences_them(engine: Engine) -> None:
    engine.submit("a.js")
    lease, job_id = claimed(engine, engine.drive())
    engine.mark("1 hour")
    engine.move_clock(3600)
    assert engine.call("housekeep").expired == 1
    assert_dead(engine, lease, job_id)


def test_a_device_is_not_taken_from_a_worker_that_is_alive(engine: Engine) -> None:
    driver = engine.drive()
    engine.move_clock(29)
    with refused("device_has_one_worker"):
        engine.drive()
    assert engine.drive("phone-2").device_id != driver.device_id


def test_a_device_of_a_lost_worker_is_taken_over_with_its_batch(engine: Engine) -> None:
    engine.submit("a.js")
    first = engine.drive()
    lease, job_id = claimed(engine, first)
    engine.move_clock(31)
    second = engine.drive()
    assert second.device_id == first.device_id
    assert engine.value("select end_reason from qgjob.batch where batch_id = %s", lease) == "replaced"
    assert engine.job(job_id).attempts == 1
    assert_dead(engine, lease, job_id)
    with refused("device_has_one_worker"):
        engine.claim(first)
    assert engine.run_all(second) == [job_id]


def test_a_worker_that_leaves_gives_everything_back(engine: Engine) -> None:
    engine.submit("a.js")
    first = engine.drive()
    lease, job_id = claimed(engine, first)
    engine.call("end_worker", worker_id=first.worker_id)
    engine.call("end_worker", worker_id=first.worker_id)
    assert engine.job(job_id).attempts == 0
    assert_dead(engine, lease, job_id)
    second = engine.drive()
    assert second.device_id == first.device_id
    assert engine.run_all(second) == [job_id]


def test_a_worker_that_registers_its_device_again_keeps_its_batch(engine: Engine) -> None:
    engine.submit("a.js")
    driver = engine.drive()
    lease, job_id = claimed(engine, driver)
    engine.call("register_device", worker_id=driver.worker_id, name="phone-1", target="emulator")
    assert engine.finish(lease, job_id) == ("completed", True)


def test_a_worker_that_was_not_heard_of_for_an_hour_has_ended(engine: Engine) -> None:
    driver = engine.drive()
    engine.move_clock(3601)
    engine.call("housekeep")
    with refused("worker_is_alive"):
        engine.call("heartbeat", worker_id=driver.worker_id)


def test_the_epoch_of_a_device_only_grows(engine: Engine) -> None:
    engine.submit("a.js")
    epochs = []
    for _ in range(3):
        driver = engine.drive()
        batch = engine.claim(driver)
        epochs.append(batch.epoch)
        engine.call("end_worker", worker_id=driver.worker_id)
    assert epochs == [1, 2, 3]


def test_the_schema_itself_allows_a_device_one_live_batch_and_an_epoch_once(engine: Engine) -> None:
    engine.submit("a.js")
    engine.claim(engine.drive())
    copy = """insert into qgjob.batch
          (org_id, group_id, device_id, worker_id, epoch, install, chosen, claimed_at, expires_at)
        select org_id, group_id, device_id, worker_id, epoch + %s, install, chosen, claimed_at, expires_at
        from qgjob.batch returning 1"""
    with refused("device_holds_one_live_batch"):
        engine.rows(copy, 1)
    engine.rows("update qgjob.batch set ended_at = qgjob.now(), end_reason = 'done' returning 1")
    with refused("epoch_is_granted_once"):
        engine.rows(copy, 0)


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("batch_id = null", "only_a_leased_job_is_queued_or_running"),
        ("status = 'pending'", "only_a_leased_job_is_queued_or_running"),
        ("group_id = (select max(group_id) from qgjob.job_group)", "batch_never_mixes_builds"),
        ("finished_at = qgjob.now()", "a_final_job_has_an_end"),
        ("status = 'completed', batch_id = null", "a_final_job_has_an_end"),
        ("status = 'failed', batch_id = null, finished_at = qgjob.now()", "a_failure_has_a_kind"),
        ("losses = 5", "losses_are_finite"),
    ],
)
def test_the_schema_itself_refuses_a_job_that_breaks_a_rule(engine: Engine, change: str, constraint: str) -> None:
    (job_id,) = engine.submit("a.js", build="v1").job_ids
    engine.claim(engine.drive())
    engine.submit("b.js", build="v2")
    with refused(constraint):
        engine.rows(f"update qgjob.job set {change} where job_id = %s returning 1", job_id)


def test_the_schema_itself_counts_what_a_run_waits_for(engine: Engine) -> None:
    engine.submit("a.js")
    for change in ("remaining = 0", "finished_at = qgjob.now()", "remaining = 2", "remaining = -1"):
        with pytest.raises(psycopg.errors.CheckViolation):
            engine.rows(f"update qgjob.run set {change} returning 1")


def installed(engine: Engine, driver: Driver) -> str | None:
    return engine.value("select installed_build from qgjob.device where device_id = %s", driver.device_id)


def test_a_build_counts_as_installed_only_once_that_was_reported(engine: Engine) -> None:
    engine.submit("a.js", "b.js")
    driver = engine.drive()
    batch = engine.claim(driver, max_jobs=1)
    assert installed(engine, driver) is None
    engine.call("record_install", lease=batch.lease)
    engine.call("record_install", lease=batch.lease)
    assert installed(engine, driver) == batch.build
    engine.release(batch.lease)
    assert installed(engine, driver) == batch.build


def test_a_claim_that_has_to_install_forgets_what_was_there(engine: Engine) -> None:
    engine.submit("a.js", build="v1")
    driver = engine.drive()
    batch = engine.claim(driver)
    engine.call("record_install", lease=batch.lease)
    engine.run_job(batch.lease, batch.jobs[0]["job_id"])
    engine.release(batch.lease)
    engine.submit("a.js", build="v2")
    batch = engine.claim(driver)
    assert (batch.install, installed(engine, driver)) == (True, None)
    engine.release(batch.lease)
    assert engine.claim(driver).install


def with_install(engine: Engine) -> tuple[Driver, int]:
    engine.submit("a.js", "b.js")
    driver = engine.drive()
    batch = engine.claim(driver, max_jobs=1)
    engine.call("record_install", lease=batch.lease)
    return driver, batch.lease


def test_a_build_is_not_trusted_after_the_worker_was_lost(engine: Engine) -> None:
    driver, lease = with_install(engine)
    engine.expire(lease)
    engine.call("housekeep")
    assert installed(engine, driver) is None


def test_a_build_is_not_trusted_after_a_batch_could_not_be_prepared(engine: Engine) -> None:
    driver, lease = with_install(engine)
    engine.release(lease, "unprepared")
    assert installed(engine, driver) is None


def test_a_build_is_not_trusted_after_the_device_was_taken_over(engine: Engine) -> None:
    driver, _ = with_install(engine)
    engine.move_clock(31)
    engine.drive()
    assert installed(engine, driver) is None


def test_a_build_is_not_trusted_after_the_device_was_out_of_sight(engine: Engine) -> None:
    driver, lease = with_install(engine)
    engine.release(lease)
    engine.call("end_worker", worker_id=driver.worker_id)
    engine.drive()
    assert installed(engine, driver) is None


def test_a_build_is_trusted_while_the_same_worker_registers_its_device_again(engine: Engine) -> None:
    driver, lease = with_install(engine)
    engine.release(lease)
    engine.call("register_device", worker_id=driver.worker_id, name="phone-1", target="emulator")
    assert installed(engine, driver) is not None


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ({"labels": {"platform": 1}}, "labels_are_strings"),
        ({"name": ""}, "device_name_is_short"),
        ({"name": "a\nb"}, "device_name_is_short"),
        ({"target": "toaster"}, "target_is_known"),
        ({"worker_id": 10_000}, "worker_exists"),
    ],
)
def test_a_device_is_well_formed(engine: Engine, change: dict[str, object], constraint: str) -> None:
    worker_id = engine.drive().worker_id
    with refused(constraint):
        engine.call("register_device", **{"worker_id": worker_id, "name": "new", "target": "device"} | change)


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ({"targets": []}, "target_is_known"),
        ({"targets": ["toaster"]}, "target_is_known"),
        ({"name": "x" * 129}, "worker_name_is_short"),
        ({"name": "a\nb"}, "worker_name_is_short"),
        ({"lease_s": 0}, "lease_in_range"),
        ({"lease_s": None}, "lease_in_range"),
    ],
)
def test_a_worker_is_well_formed(engine: Engine, change: dict[str, object], constraint: str) -> None:
    with refused(constraint):
        engine.call("register_worker", **{"name": "new", "version": "test", "targets": ["device"]} | change)
