"""A device that its worker no longer sees is offline, and what it was doing goes elsewhere."""

import pytest
from engine import Driver, Engine


def status(engine: Engine, driver: Driver) -> str:
    return str(engine.value("select status from reporting.devices where device_id = %s", driver.device_id))


def release(engine: Engine, driver: Driver) -> None:
    engine.call("release_device", worker_id=driver.worker_id, device_id=driver.device_id, message="phone-1 is gone.")


def test_its_running_job_is_a_loss_and_the_others_go_back_without_one(engine: Engine) -> None:
    driver = engine.drive()
    run = engine.submit("tests/a.spec.js", "tests/b.spec.js", "tests/c.spec.js", "tests/d.spec.js")
    batch = engine.claim(driver)
    assert len(batch.jobs) > 1
    engine.call("record_install", lease=batch.lease)
    running = batch.jobs[0]["job_id"]
    engine.start(batch.lease, running)

    release(engine, driver)
    assert engine.statuses(run.job_ids) == ["pending"] * 4
    losses = engine.rows("select job_id, failure_kind, message from qgjob.attempt")
    assert losses == [(running, "infrastructure", "phone-1 is gone.")]
    assert status(engine, driver) == "offline"
    assert engine.value("select installed_build from qgjob.device") is None


def test_it_may_be_said_again_and_comes_back_by_registering(engine: Engine) -> None:
    driver = engine.drive()
    release(engine, driver)
    release(engine, driver)
    engine.call("register_device", worker_id=driver.worker_id, name="phone-1", target="emulator", labels={})
    assert status(engine, driver) == "idle"
    engine.submit("tests/a.spec.js")
    assert engine.claim(driver) is not None


def test_a_device_that_another_worker_has_taken_over_stays_with_it(engine: Engine) -> None:
    first = engine.drive()
    engine.call("end_worker", worker_id=first.worker_id)
    second = engine.drive()
    engine.submit("tests/a.spec.js")
    batch = engine.claim(second)
    release(engine, first)
    assert engine.start(batch.lease, batch.jobs[0]["job_id"]) == "run"
    assert status(engine, second) == "busy"


@pytest.mark.parametrize("message", [None, "phone-1 is gone."])
def test_an_idle_device_goes_without_a_trace(engine: Engine, message: str | None) -> None:
    driver = engine.drive()
    run = engine.submit("tests/a.spec.js")
    engine.call("release_device", worker_id=driver.worker_id, device_id=driver.device_id, message=message)
    assert engine.statuses(run.job_ids) == ["pending"]
    assert engine.value("select count(*) from qgjob.attempt") == 0
