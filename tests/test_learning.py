"""The engine learns how long tests and installs take, and orders by it."""

import pytest
from engine import Driver, Engine


def pass_in(engine: Engine, driver: Driver, seconds: float, status: str = "completed", kind: str | None = None) -> None:
    batch = engine.claim(driver, max_jobs=1)
    if batch.install:
        engine.move_clock(12)
        engine.call("record_install", lease=batch.lease)
    engine.start(batch.lease, batch.jobs[0]["job_id"])
    engine.move_clock(seconds)
    engine.finish(batch.lease, batch.jobs[0]["job_id"], status, kind)
    engine.release(batch.lease)


def test_a_test_is_predicted_from_its_passing_runs(engine: Engine) -> None:
    driver = engine.drive(lease_s=3600)
    for seconds in (100, 200):
        engine.submit("a.js")
        pass_in(engine, driver, seconds)
    engine.submit("a.js")
    predicted = engine.value("select predicted_s from qgjob.job where status = 'pending'")
    assert predicted == pytest.approx(100 + 0.3 * (200 - 100), abs=1)


@pytest.mark.parametrize("jump_s", [-86_400, 7200])
def test_a_clock_that_jumps_teaches_nothing_and_charges_nobody(engine: Engine, jump_s: float) -> None:
    driver = engine.drive(lease_s=3600)
    engine.submit({"test_path": "a.js", "timeout_s": 600})
    batch = engine.claim(driver)
    engine.move_clock(jump_s)
    engine.call("record_install", lease=batch.lease)
    engine.start(batch.lease, batch.jobs[0]["job_id"])
    engine.move_clock(jump_s)
    engine.finish(batch.lease, batch.jobs[0]["job_id"])
    engine.release(batch.lease)
    assert engine.value("select count(*) from qgjob.install_timing") == 0
    assert engine.value("select count(mean_s) from qgjob.test_timing") == 0
    assert 0 <= engine.value("select pass as level from qgjob.lane") <= 3600


def test_a_failure_says_nothing_about_the_duration_but_goes_first_next_time(engine: Engine) -> None:
    driver = engine.drive(lease_s=3600)
    engine.submit("long.js")
    pass_in(engine, driver, 300)
    engine.submit("broken.js")
    pass_in(engine, driver, 5, "failed", "test")
    engine.submit("long.js", "other.js", "broken.js")
    order = [job["test_path"] for job in engine.claim(driver).jobs]
    assert order[0] == "broken.js"
    assert engine.value("select mean_s from qgjob.test_timing where test_path = 'broken.js'") is None


def test_the_longest_goes_first(engine: Engine) -> None:
    driver = engine.drive(lease_s=3600)
    for name, seconds in (("short", 10), ("long", 200), ("middle", 60)):
        engine.submit(f"{name}.js")
        pass_in(engine, driver, seconds)
    engine.submit("short.js", "middle.js", "long.js")
    assert engine.claim(driver, max_jobs=3).jobs[0]["test_path"] == "long.js"


def test_an_unknown_test_is_expected_to_take_as_long_as_the_others(engine: Engine) -> None:
    driver = engine.drive(lease_s=3600)
    for name, seconds in (("a", 10), ("b", 50), ("c", 90)):
        engine.submit(f"{name}.js")
        pass_in(engine, driver, seconds)
    engine.submit("new.js")
    predicted = engine.value("select predicted_s from qgjob.job where test_path = 'new.js'")
    assert predicted == pytest.approx(50, abs=1)


def test_one_installation_that_takes_for_ever_teaches_little(engine: Engine) -> None:
    driver = engine.drive(lease_s=3600)
    learned = []
    for build, took_s in enumerate((3000, 3000, 20, 20)):
        engine.submit("a.js", build=f"v{build}")
        batch = engine.claim(driver)
        engine.move_clock(took_s)
        engine.call("record_install", lease=batch.lease)
        engine.run_job(batch.lease, batch.jobs[0]["job_id"])
        engine.release(batch.lease)
        learned.append(round(engine.value("select mean_s from qgjob.install_timing")))
    assert learned == [90, 144, 107, 81]


@pytest.mark.parametrize(("install_s", "stays_s"), [(0.01, 5), (30, 600), (3600, 1800)])
def test_a_device_stays_for_twenty_installations_within_limits(
    engine: Engine, install_s: float, stays_s: float
) -> None:
    driver = engine.drive(lease_s=3600)
    engine.submit(*(f"{number}.js" for number in range(9)))
    batch = engine.claim(driver, max_jobs=1)
    engine.call("record_install", lease=batch.lease)
    engine.run_job(batch.lease, batch.jobs[0]["job_id"])
    engine.rows("update qgjob.install_timing set mean_s = %s returning 1", install_s)
    engine.submit("a.js", org="other")
    engine.rows("update qgjob.lane set pass = 0 where org_id = 'other' returning 1")
    engine.move_clock(stays_s - 2)
    batch = engine.claim(driver, max_jobs=1)
    engine.run_job(batch.lease, batch.jobs[0]["job_id"])
    engine.move_clock(3)
    assert (batch.org_id, engine.claim(driver).org_id) == ("acme", "other")


def test_installs_are_learned_and_decide_who_joins(engine: Engine) -> None:
    driver = engine.drive(lease_s=3600)
    engine.submit("a.js")
    pass_in(engine, driver, 10)
    assert engine.value("select mean_s from qgjob.install_timing") == pytest.approx(12, abs=1)
    # Two tests of 10 s are not worth a second install of 12 s once one device serves them; four are.
    engine.submit("a.js", "b.js", "c.js", build="v2")
    engine.claim(driver, max_jobs=1)
    assert engine.claim(engine.drive("second")) is not None
    assert engine.claim(engine.drive("third")) is None
