"""A build that no device can take fails all its jobs at once, and is nobody else's fault."""

import pytest
from engine import Engine

WHY = "The build cannot be installed: its signature is missing or wrong: sign it."


def test_every_pending_job_of_the_group_fails_by_the_first_refusal(engine: Engine) -> None:
    driver = engine.drive()
    run = engine.submit(*(f"{number}.js" for number in range(30)), defaults={"retries": 3})
    batch = engine.claim(driver)
    assert len(batch.jobs) < 30
    other = engine.submit("a.js", build="v2")
    engine.call("release_batch", lease=batch.lease, reason="refused", message=WHY)

    assert set(engine.statuses(run.job_ids)) == {"failed"}
    job = engine.job(run.job_ids[-1])
    assert (job.failure_kind, job.message, job.attempts) == ("test", WHY, 1)
    assert engine.counts(run.run_id) == (0, True)
    assert engine.rows("select distinct failure_kind, message from qgjob.attempt") == [("test", WHY)]
    # Neither the device nor another build has to do with it.
    assert engine.call("list_devices", device_id=driver.device_id).strikes == 0
    assert [job["job_id"] for job in engine.claim(driver).jobs] == other.job_ids
    assert engine.call("list_groups").app_version_id == "v2"


def test_a_job_that_was_cancelled_meanwhile_is_cancelled(engine: Engine) -> None:
    driver = engine.drive()
    run = engine.submit("a.js", "b.js")
    batch = engine.claim(driver, max_jobs=1)
    held, waits = batch.jobs[0]["job_id"], next(j for j in run.job_ids if j != batch.jobs[0]["job_id"])
    engine.call("cancel_job", job_id=held)
    engine.call("release_batch", lease=batch.lease, reason="refused", message=WHY)
    assert engine.statuses([held, waits]) == ["cancelled", "failed"]


def test_what_another_device_is_just_claiming_is_left_to_it(engine: Engine) -> None:
    driver = engine.drive()
    run = engine.submit("a.js", "b.js")
    batch = engine.claim(driver, max_jobs=1)
    held = batch.jobs[0]["job_id"]
    with engine.another() as claiming, claiming.connection.transaction():
        claiming.rows("select job_id from qgjob.job where status = 'pending' for no key update")
        engine.call("release_batch", lease=batch.lease, reason="refused", message=WHY)
        assert engine.job(held).status == "failed"
    assert sorted(engine.statuses(run.job_ids)) == ["failed", "pending"]
    assert engine.claim(driver) is not None


@pytest.mark.parametrize("times", [1, 2])
def test_it_may_be_said_again(engine: Engine, times: int) -> None:
    driver = engine.drive()
    run = engine.submit("a.js")
    batch = engine.claim(driver)
    for _ in range(times):
        engine.call("release_batch", lease=batch.lease, reason="refused", message=WHY)
    assert engine.job(run.job_ids[0]).attempts == 1
