"""A device that loses jobs is kept from further ones until a probe, or a person, says that it is well."""

from typing import Any

import pytest
from engine import Driver, Engine, refused


def device(engine: Engine, driver: Driver) -> Any:
    return engine.call("list_devices", device_id=driver.device_id)


def lose(engine: Engine, driver: Driver, why: str = "no room on it") -> None:
    """A batch that the device cannot even begin."""
    batch = engine.claim(driver)
    assert batch is not None
    engine.call("release_batch", lease=batch.lease, reason="unprepared", message=why)


def report(engine: Engine, driver: Driver, complaint: str | None = None) -> bool:
    return bool(
        engine.call(
            "report_health", worker_id=driver.worker_id, device_id=driver.device_id, complaint=complaint
        ).well
    )  # fmt: skip


def test_a_build_whose_file_cannot_be_had_says_nothing_of_the_device(engine: Engine) -> None:
    """Whoever submits chooses where it is, and the device may be everybody's."""
    driver = engine.drive()
    engine.submit(*(f"{number}.js" for number in range(9)))
    for _ in range(4):
        engine.call(
            "release_batch", lease=engine.claim(driver, max_jobs=2).lease, reason="unfetched", message="no file"
        )
    assert (device(engine, driver).status, device(engine, driver).strikes) == ("idle", 0)


def test_three_losses_in_a_row_quarantine_it_and_say_why(engine: Engine) -> None:
    driver = engine.drive()
    engine.submit(*(f"{number}.js" for number in range(9)))
    for _ in range(2):
        lose(engine, driver)
        assert device(engine, driver).status == "idle"
    lose(engine, driver, "the battery is at 3 %")
    found = device(engine, driver)
    assert (found.status, found.quarantined_by, found.strikes) == ("quarantined", "health", 3)
    assert found.quarantine_reason == "3 losses in a row. The last: the battery is at 3 %"
    assert engine.claim(driver) is None


def test_a_verdict_ends_the_series(engine: Engine) -> None:
    driver = engine.drive()
    engine.submit(*(f"{number}.js" for number in range(9)))
    for _ in range(2):
        lose(engine, driver)
    batch = engine.claim(driver)
    engine.run_job(batch.lease, batch.jobs[0]["job_id"], "failed", "test")
    engine.release(batch.lease)
    assert device(engine, driver).strikes == 0
    lose(engine, driver)
    assert device(engine, driver).status == "idle"


def test_jobs_that_are_lost_on_it_count_one_by_one(engine: Engine) -> None:
    driver = engine.drive()
    run = engine.submit(*(f"{number}.js" for number in range(9)))
    batch = engine.claim(driver)
    for job in batch.jobs[:3]:
        engine.run_job(batch.lease, job["job_id"], "failed", "infrastructure")
    assert device(engine, driver).status == "quarantined"
    # It is told to finish what runs and to give back the rest.
    beat = engine.call("heartbeat", worker_id=driver.worker_id)
    assert (beat.drain_leases, beat.sick_devices) == ([batch.lease], [driver.device_id])
    engine.release(batch.lease, "drained")
    assert engine.statuses(run.job_ids) == ["pending"] * 9


def test_one_job_that_is_lost_again_and_again_says_nothing_of_the_device(engine: Engine) -> None:
    driver = engine.drive()
    (job_id,) = engine.submit("kills-its-runner.js").job_ids
    for _ in range(4):
        batch = engine.claim(driver)
        engine.run_job(batch.lease, job_id, "failed", "infrastructure")
        engine.release(batch.lease)
    assert engine.job(job_id).failure_kind == "infrastructure"
    assert (device(engine, driver).status, device(engine, driver).strikes) == ("idle", 1)


def test_a_cloud_without_room_and_a_lost_worker_are_not_its_fault(engine: Engine) -> None:
    driver = engine.drive()
    engine.submit("a.js")
    for _ in range(5):
        engine.release(engine.claim(driver).lease, "busy")
    batch = engine.claim(driver)
    engine.expire(batch.lease)
    engine.call("housekeep")
    assert device(engine, driver).strikes == 0


def test_a_probe_that_complains_quarantines_it_and_one_that_does_not_readmits_it(engine: Engine) -> None:
    driver = engine.drive()
    engine.submit("a.js")
    assert not report(engine, driver, "the battery is at 3 %")
    assert not report(engine, driver, "the battery is at 2 %")
    assert device(engine, driver).quarantine_reason == "the battery is at 2 %"
    assert engine.claim(driver) is None
    assert report(engine, driver)
    assert engine.claim(driver) is not None


def test_after_losses_a_good_probe_is_not_enough_at_once(engine: Engine) -> None:
    driver = engine.drive()
    engine.submit(*(f"{number}.js" for number in range(9)))
    for _ in range(3):
        lose(engine, driver)
    engine.move_clock(59)
    assert not report(engine, driver)
    engine.move_clock(2)
    assert report(engine, driver)
    # What it has lost is not forgotten: the next loss is enough, and it stays for longer.
    lose(engine, driver)
    engine.move_clock(61)
    assert not report(engine, driver)
    engine.move_clock(60)
    assert report(engine, driver)


def test_what_a_person_has_quarantined_only_a_person_readmits(engine: Engine) -> None:
    driver = engine.drive()
    engine.submit("a.js")
    engine.call("quarantine_device", device_id=driver.device_id, reason=" its screen is broken ")
    assert not report(engine, driver)
    assert not report(engine, driver, "the battery is at 3 %")
    found = device(engine, driver)
    assert (found.quarantined_by, found.quarantine_reason) == ("person", "its screen is broken")
    assert engine.call("heartbeat", worker_id=driver.worker_id).sick_devices == []
    assert engine.claim(driver) is None
    for _ in range(2):
        assert engine.call("readmit_device", device_id=driver.device_id).status == "idle"
    assert engine.claim(driver) is not None


def test_it_outlives_the_worker(engine: Engine) -> None:
    driver = engine.drive()
    engine.call("quarantine_device", device_id=driver.device_id, reason="broken")
    engine.call("end_worker", worker_id=driver.worker_id)
    assert device(engine, driver).status == "offline"
    driver = engine.drive()
    engine.submit("a.js")
    assert engine.claim(driver) is None
    assert device(engine, driver).status == "quarantined"


def test_those_who_wait_are_told(engine: Engine) -> None:
    driver = engine.drive()
    job_id = engine.submit("a.js").job_ids[0]
    report(engine, driver, "the battery is at 3 %")
    why = engine.call("get_why", job_id=job_id)
    assert why.devices_fitting == 0
    assert why.reason == "Every device that it could run on is in quarantine. phone-1: the battery is at 3 %"
    assert engine.call("get_health").status == "degraded"


@pytest.mark.parametrize("reason", [None, "", "  ", "x" * 1001])
def test_a_person_says_why(engine: Engine, reason: str | None) -> None:
    driver = engine.drive()
    with refused("quarantine_has_a_reason"):
        engine.call("quarantine_device", device_id=driver.device_id, reason=reason)


@pytest.mark.parametrize("function", ["quarantine_device", "readmit_device"])
def test_a_device_that_is_not_there(engine: Engine, function: str) -> None:
    with refused("device_exists"):
        engine.call(function, device_id=99, **({"reason": "broken"} if "quarantine" in function else {}))


def test_only_its_own_worker_reports_on_it(engine: Engine) -> None:
    driver, other = engine.drive("phone-1"), engine.drive("phone-2")
    with refused("device_has_one_worker"):
        report(engine, Driver(other.worker_id, driver.device_id), "broken")


def test_topics_tell_of_it(engine: Engine) -> None:
    engine.rows("select pgmq.create('watch')")
    engine.rows("select pgmq.bind_topic('device.*', 'watch')")
    driver = engine.drive()
    report(engine, driver, "broken")
    report(engine, driver, "still broken")
    report(engine, driver)
    events = [message["event"] for (message,) in engine.rows("select message from pgmq.read('watch', 0, 10)")]
    assert events == ["device.quarantined", "device.readmitted"]
