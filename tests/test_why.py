"""qgjob why: what a job waits for, what is ahead, and afterwards why that device got it."""

from engine import Engine
from processes import Services


def test_without_a_device_that_fits(engine: Engine) -> None:
    run = engine.submit({"test_path": "a.js", "selector": {"platform": "ios"}})
    engine.drive(platform="android")
    why = engine.call("get_why", job_id=run.job_ids[0])
    assert (why.devices_fitting, why.predicted_device, why.predicted_start_s) == (0, None, None)
    assert "No live worker" in why.reason
    assert "ios" in why.reason


def test_behind_others_of_its_group(engine: Engine) -> None:
    run = engine.submit("a.js", "b.js", {"test_path": "c.js", "priority": "low"})
    driver = engine.drive()
    batch = engine.claim(driver, max_jobs=1)
    why = engine.call("get_why", job_id=run.job_ids[2])
    assert (why.jobs_ahead, why.devices_on_group, why.devices_fitting) == (1, 1, 1)
    assert why.work_ahead_s == 30
    assert why.predicted_device == "phone-1"
    assert why.predicted_start_s == 30 + 30  # the one in the batch and the one ahead, 30 s each
    assert "1 job comes before it" in why.reason
    assert batch.jobs[0]["job_id"] == run.job_ids[0]


def test_behind_other_groups(engine: Engine) -> None:
    engine.submit("a.js", build="v0")
    engine.claim(engine.drive())
    engine.submit("a.js", build="v1", defaults={"priority": "high"})
    run = engine.submit("a.js", build="v2")
    why = engine.call("get_why", job_id=run.job_ids[0])
    assert why.groups_ahead == 1
    assert "1 group comes before" in why.reason


def test_an_organisation_at_its_cap_is_told(engine: Engine) -> None:
    engine.submit("a.js", build="v1")
    engine.rows("update qgjob.org set max_devices = 1 returning 1")
    engine.claim(engine.drive())
    run = engine.submit("a.js", build="v2")
    engine.drive("phone-2")
    assert "may have" in engine.call("get_why", job_id=run.job_ids[0]).reason


def test_afterwards_it_says_how_the_device_came_to_it(engine: Engine) -> None:
    run = engine.submit(*(f"{number}.js" for number in range(8)))
    one, two = engine.drive("one"), engine.drive("two")
    first = engine.claim(one)
    joined = engine.claim(two)
    for batch, words in ((first, "no device served"), (joined, "worth an installation")):
        assert words in engine.call("get_why", job_id=batch.jobs[0]["job_id"]).reason
    engine.call("record_install", lease=first.lease)
    for job in first.jobs:
        engine.run_job(first.lease, job["job_id"])
    again = engine.claim(one)
    assert "went on with it" in engine.call("get_why", job_id=again.jobs[0]["job_id"]).reason
    assert engine.call("get_why", job_id=run.job_ids[0]).predicted_start_s is None


def test_a_job_that_no_device_had(engine: Engine) -> None:
    run = engine.submit("a.js")
    engine.call("cancel_job", job_id=run.job_ids[0])
    assert "before a device had it" in engine.call("get_why", job_id=run.job_ids[0]).reason


def test_the_shell_tells_it(engine: Engine, services: Services) -> None:
    services.api()
    engine.submit("a.js")
    said = services.qgjob("why", "--job-id=1")
    assert said.returncode == 0
    assert "No live worker drives a device for target emulator" in said.stdout
    assert services.qgjob("why", "--job-id=9").returncode == 4
