"""qgjob why: what a job waits for, what is ahead, and afterwards why that device got it."""

import json
from typing import Any

import pytest
from engine import Engine
from processes import Services
from test_plans import rows_read


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
    engine.call("record_install", lease=batch.lease)
    why = engine.call("get_why", job_id=run.job_ids[2])
    assert (why.jobs_ahead, why.devices_on_group, why.devices_fitting) == (1, 1, 1)
    assert why.work_ahead_s == 30
    assert why.predicted_device == "phone-1"
    assert why.predicted_start_s == 30 + 30  # the one in the batch and the one ahead, 30 s each
    assert "1 job comes before it" in why.reason
    assert batch.jobs[0]["job_id"] == run.job_ids[0]


def test_behind_others_of_its_group_on_devices_that_are_wiped(engine: Engine) -> None:
    run = engine.submit(*({"test_path": f"{number:02}.js", "target": "browserstack"} for number in range(40)))
    for number in range(4):
        driver = engine.drive(f"cloud-{number}", target="browserstack")
    engine.call("record_install", lease=engine.claim(driver, max_jobs=1).lease)
    found = why(engine, run.job_ids[-1])
    assert (found.jobs_ahead, found.devices_on_group, found.devices_fitting) == (38, 1, 4)
    assert found.predicted_start_s == pytest.approx(38 * 30 / 4, abs=100), "all of them help, after an install each"


def why(engine: Engine, job_id: int) -> Any:
    return engine.call("get_why", job_id=job_id)


def predicted(found: Any) -> tuple[str | None, Any]:
    start_s = found.predicted_start_s
    return found.predicted_device, None if start_s is None else pytest.approx(start_s, abs=5)  # the clock goes on


def test_behind_other_groups_nobody_knows_when(engine: Engine) -> None:
    engine.submit("a.js", build="v0")
    engine.claim(engine.drive())
    for number in range(3):
        engine.submit("a.js", build=f"v1.{number}", defaults={"priority": "high"})
    found = why(engine, engine.submit("a.js", build="v2").job_ids[0])
    assert found.groups_ahead == 3
    assert found.reason == "Every device that fits is busy, and 3 groups come before its group."
    assert predicted(found) == (None, None)


@pytest.mark.parametrize("with_statistics", [False, True])
def test_other_organisations_come_before_as_their_pass_says(engine: Engine, *, with_statistics: bool) -> None:
    engine.drive()
    waiting = [engine.submit(*(f"{test}.js" for test in range(8)), org=f"org{number}", build=f"v{build}").job_ids[0]
               for number in range(3) for build in range(3)]  # fmt: skip
    engine.rows("update qgjob.lane set pass = 1000 * lane_id returning 1")
    if with_statistics:
        engine.connection.execute("analyze")
    assert [why(engine, job_id).groups_ahead for job_id in waiting] == list(range(9))


def test_the_next_group_starts_when_a_device_is_free_and_has_its_build(engine: Engine) -> None:
    engine.submit("a.js", build="v0")
    engine.claim(engine.drive())
    found = why(engine, engine.submit("a.js", build="v1").job_ids[0])
    assert found.reason == "Its group is among the next that a free device takes."
    assert predicted(found) == ("phone-1", 90)  # an install and a test of the other build, an install


def test_an_idle_device_is_not_called_busy(engine: Engine) -> None:
    engine.drive()
    engine.submit("a.js", build="v1", defaults={"priority": "high"})
    found = why(engine, engine.submit("a.js", build="v2").job_ids[0])
    assert found.reason == "1 group comes before its group."
    assert predicted(found) == (None, None)


def test_groups_that_its_devices_would_not_be_given_do_not_come_before(engine: Engine) -> None:
    engine.submit("a.js", org="full", build="v1")
    engine.claim(engine.drive("one", platform="android"))
    engine.call("change_org", org_id="full", changes={"max_devices": 1})
    engine.submit("a.js", org="full", build="v2")
    two = engine.drive("two", platform="android")
    engine.submit({"test_path": "a.js", "selector": {"platform": "ios"}}, org="other")
    job_id = engine.submit("a.js", org="acme").job_ids[0]
    engine.rows("update qgjob.lane set pass = 500 where org_id = 'acme' returning 1")
    found = why(engine, job_id)
    assert found.groups_ahead == 0
    assert predicted(found) == ("two", 30)
    assert engine.claim(two).jobs[0]["job_id"] == job_id


def test_an_organisation_that_was_given_less_comes_before_until_it_was_not(engine: Engine) -> None:
    engine.drive()
    job_id = engine.submit("a.js", org="acme").job_ids[0]
    for number in range(9):
        engine.submit("a.js", org="other", build=f"v{number}")
    engine.rows("update qgjob.lane set pass = case org_id when 'acme' then 50 else 0 end returning 1")
    assert why(engine, job_id).groups_ahead == 2  # an install takes 30 s


def test_of_two_organisations_with_equal_right_the_later_is_the_next(engine: Engine) -> None:
    driver = engine.drive()
    first = engine.submit("a.js", org="first").job_ids[0]
    second = engine.submit("a.js", org="second").job_ids[0]
    assert [why(engine, job_id).groups_ahead for job_id in (first, second)] == [1, 0]
    assert engine.claim(driver).jobs[0]["job_id"] == second


def test_a_device_that_goes_on_with_its_build_is_not_the_next_free_one(engine: Engine) -> None:
    engine.submit("a.js", "b.js", "c.js", build="v1")
    driver = engine.drive()
    batch = engine.claim(driver, max_jobs=1)
    engine.call("record_install", lease=batch.lease)
    found = why(engine, engine.submit("a.js", build="v2", org="other").job_ids[0])
    assert found.reason == "Every device that fits goes on with the build that it holds."
    assert predicted(found) == (None, None)
    engine.run_job(batch.lease, batch.jobs[0]["job_id"])
    assert engine.claim(driver).org_id == "acme"


def test_an_idle_device_that_will_not_join_its_group_is_not_predicted(engine: Engine) -> None:
    run = engine.submit("a.js", "b.js")
    engine.claim(engine.drive("one"), max_jobs=1)
    two = engine.drive("two")
    assert predicted(why(engine, run.job_ids[1])) == ("one", 30 + 30)
    assert engine.claim(two) is None


def test_a_group_that_its_device_will_leave_is_not_predicted(engine: Engine) -> None:
    run = engine.submit("a.js", "b.js", build="v1")
    driver = engine.drive()
    batch = engine.claim(driver, max_jobs=1)
    urgent = engine.submit("a.js", build="v2", defaults={"priority": "urgent"}).job_ids[0]
    found = why(engine, run.job_ids[1])
    assert found.reason == "1 device is on its group; it is the next there, and 1 group comes before its group."
    assert predicted(found) == (None, None)
    assert predicted(why(engine, urgent)) == ("phone-1", 90)
    engine.call("record_install", lease=batch.lease)
    engine.run_job(batch.lease, batch.jobs[0]["job_id"])
    assert engine.claim(driver).jobs[0]["job_id"] == urgent


def test_what_is_urgent_comes_before_the_groups_of_others(engine: Engine) -> None:
    """A device of its organisation goes there, whoever's turn it is."""
    engine.submit(*(f"{number}.js" for number in range(9)), build="v1")
    driver = engine.drive()
    engine.call("change_org", org_id="acme", changes={"max_devices": 1})
    batch = engine.claim(driver, max_jobs=1)
    for build in range(3):
        engine.submit("a.js", org="other", build=f"v{build}")
    engine.rows("update qgjob.lane set pass = case org_id when 'acme' then 500 else 0 end returning 1")
    later = engine.submit("a.js", build="v2").job_ids[0]
    urgent = engine.submit("a.js", build="v3", defaults={"priority": "urgent"}).job_ids[0]
    found = why(engine, urgent)
    assert found.reason == "Its group is among the next that a free device takes."
    assert (found.groups_ahead, predicted(found)) == (0, ("phone-1", 90))
    assert why(engine, later).groups_ahead == 1
    engine.call("record_install", lease=batch.lease)
    engine.run_job(batch.lease, batch.jobs[0]["job_id"])
    assert engine.claim(driver).jobs[0]["job_id"] == urgent


def test_a_device_of_a_cloud_needs_another_session(engine: Engine) -> None:
    run = engine.submit(*({"test_path": f"{number}.js", "target": "browserstack"} for number in range(2)))
    engine.claim(engine.drive("cloud", "browserstack"), max_jobs=1)
    assert predicted(why(engine, run.job_ids[1])) == ("cloud", 90)  # a session and a test, a session


def test_what_is_left_of_an_install_comes_before(engine: Engine) -> None:
    run = engine.submit("a.js", "b.js")
    engine.rows("insert into qgjob.install_timing values ('acme', 'emulator', 600) returning 1")
    batch = engine.claim(engine.drive(lease_s=3600), max_jobs=1)
    for passed, start_s in ((0, 630), (200, 430), (500, 30)):
        engine.move_clock(passed)
        assert predicted(why(engine, run.job_ids[1])) == ("phone-1", start_s)
    engine.call("record_install", lease=batch.lease)
    assert why(engine, run.job_ids[1]).predicted_start_s == 30


def test_reading_why_costs_the_same_however_many_groups_wait(engine: Engine) -> None:
    job_id = engine.submit("a.js", build="mine", defaults={"priority": "low"}).job_ids[0]
    engine.drive()
    engine.rows("""
      insert into qgjob.job_group (org_id, app_version_id, lane_id, target, selector, reset, build, head_priority,
        head_at, rank_at, created_at, grouped_by)
      select org_id, app_version_id, lane_id, target, selector, reset, 'b' || number, 3, head_at, rank_at, created_at,
        jsonb_build_object('number', number)
      from qgjob.job_group, generate_series(1, 3000) as number returning 1""")
    engine.connection.execute("analyze")
    found, read = rows_read(engine, lambda: why(engine, job_id))
    assert found.reason == "500 groups or more come before its group."
    assert sum(read.values()) < 2_500, read


def test_a_device_that_goes_on_takes_no_more_room_of_its_organisation(engine: Engine) -> None:
    run = engine.submit("a.js", "b.js")
    driver = engine.drive()
    engine.call("change_org", org_id="acme", changes={"max_devices": 1})
    batch = engine.claim(driver, max_jobs=1)
    engine.call("record_install", lease=batch.lease)
    found = why(engine, run.job_ids[1])
    assert found.reason == "1 device is on its group; it is the next there."
    assert predicted(found) == ("phone-1", 30)
    engine.run_job(batch.lease, run.job_ids[0])
    assert engine.claim(driver).jobs[0]["job_id"] == run.job_ids[1]


def test_an_organisation_at_its_cap_is_told(engine: Engine) -> None:
    engine.submit("a.js", build="v1")
    engine.rows("update qgjob.org set max_devices = 1 returning 1")
    engine.claim(engine.drive())
    run = engine.submit("a.js", build="v2")
    engine.drive("phone-2")
    found = why(engine, run.job_ids[0])
    assert "may have" in found.reason
    assert predicted(found) == (None, None)


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


def test_a_job_that_was_cancelled(engine: Engine) -> None:
    driver = engine.drive()
    pending, queued, running, lost = engine.submit("a.js", "b.js", "c.js", "d.js").job_ids
    engine.call("cancel_job", job_id=pending)
    batch = engine.claim(driver)
    engine.call("cancel_job", job_id=queued)
    engine.start(batch.lease, running)
    engine.call("cancel_job", job_id=running)
    engine.finish(batch.lease, running, "cancelled")
    engine.run_job(batch.lease, lost, "failed", "infrastructure")
    engine.call("cancel_job", job_id=lost)
    assert [why(engine, job_id).reason for job_id in (pending, queued, running, lost)] == [
        "It was cancelled before it started.",
        "It was cancelled before it started.",
        "It was cancelled while it ran.",
        "It was cancelled before it started again.",
    ]


def test_a_device_that_drains_is_there_but_takes_nothing_more(engine: Engine) -> None:
    run = engine.submit("a.js", "b.js")
    driver = engine.drive()
    engine.claim(driver, max_jobs=1)
    engine.call("drain_worker", worker_id=driver.worker_id)
    found = why(engine, run.job_ids[1])
    assert found.reason == "phone-1 could run it, but its worker drains and takes nothing more."
    assert found.devices_fitting == 0
    sick = engine.drive("phone-2")
    engine.call("quarantine_device", device_id=sick.device_id, reason="broken")
    assert why(engine, run.job_ids[1]).reason == found.reason  # not: every device is in quarantine


def test_what_a_run_waits_for_is_told_once_for_each_group(engine: Engine) -> None:
    ios = {"test_path": "ios.js", "target": "device", "selector": {"platform": "ios"}}
    run = engine.submit("a.js", "b.js", {"test_path": "c.js", "priority": "high"}, "d.js", ios)
    engine.submit("of another run.js")
    waiting = engine.rows("select * from qgjob.list_waiting(p_run_id => %s)", run.run_id)
    assert [(each.jobs, each.target, each.selector, each.job_id, each.test_path) for each in waiting] == [
        (4, "emulator", {}, run.job_ids[2], "c.js"),
        (1, "device", {"platform": "ios"}, run.job_ids[4], "ios.js"),
    ]
    for each in waiting:
        assert each[5:] == why(engine, each.job_id)[1:], "what get_why says of the first of them"
    assert len(engine.rows("select from qgjob.list_waiting(p_run_id => %s, p_limit => 1)", run.run_id)) == 1
    batch = engine.claim(engine.drive(), max_jobs=3)
    engine.start(batch.lease, batch.jobs[0]["job_id"])
    waiting = engine.rows("select status, jobs, reason from qgjob.list_waiting(p_run_id => %s)", run.run_id)
    assert [(each.status, each.jobs) for each in waiting] == [("pending", 1), ("pending", 1), ("queued", 2)]
    assert waiting[2].reason == "A device has taken it, and starts it once it is done with others."
    engine.call("cancel_run", run_id=run.run_id)
    assert [each.status for each in engine.rows("select * from qgjob.list_waiting(%s)", run.run_id)] == []


def test_the_shell_tells_it(engine: Engine, services: Services) -> None:
    services.api()
    engine.submit("a.js")
    said = services.qgjob("why", "--job-id=1")
    assert said.returncode == 0
    assert "No live worker drives a device for target emulator" in said.stdout
    assert services.qgjob("why", "--job-id=9").returncode == 4
    assert services.qgjob("why").returncode == 2
    engine.submit("b.js", "c.js", {"test_path": "d.js", "target": "device", "selector": {"platform": "ios"}})
    said = services.qgjob("why", "--run-id=2")
    heading, most, other = said.stdout.splitlines()
    assert heading.split() == ["JOBS", "STATUS", "TARGET", "FIRST", "STARTS_IN", "ON", "WHY"]
    assert most.split()[:6] == ["2", "pending", "emulator", "2", "-", "-"]
    assert other.split()[:4] == ["1", "pending", "device:platform=ios", "4"]
    found = json.loads(services.qgjob("why", "--run-id=2", "--json").stdout)
    assert (found["schema"], [each["jobs"] for each in found["data"]]) == ("qgjob.waiting/v1", [2, 1])
    engine.call("cancel_run", run_id=2)
    assert services.qgjob("why", "--run-id=2").stderr == "no job of run 2 waits\n"


def test_nothing_that_a_run_waits_for_is_left_out(engine: Engine, services: Services) -> None:
    services.api()
    run = engine.submit(*({"test_path": "a.js", "selector": {"number": str(number)}} for number in range(60)))
    assert len(services.qgjob("why", f"--run-id={run.run_id}").stdout.splitlines()) == 61
