"""An idle device takes over what another holds and has not started; nobody runs anything twice for it."""

import psycopg
import pytest
from engine import Engine


def test_half_of_what_waits_behind_a_running_job_is_taken_back(engine: Engine) -> None:
    run = engine.submit(*(f"{number}.js" for number in range(8)))
    slow, idle = engine.drive("slow"), engine.drive("idle")
    held = engine.claim(slow)
    engine.call("record_install", lease=held.lease)
    while engine.value("select count(*) from qgjob.job where status = 'pending'"):
        rest = engine.claim(idle)
        if rest.install:
            engine.call("record_install", lease=rest.lease)
        for job in rest.jobs:
            engine.run_job(rest.lease, job["job_id"])
    engine.start(held.lease, held.jobs[0]["job_id"])

    split = engine.claim(idle) or engine.claim(idle)  # the first ends its last batch
    moved = {job["job_id"] for job in split.jobs}
    assert moved < {job["job_id"] for job in held.jobs[1:]} or moved == {job["job_id"] for job in held.jobs[1:]}
    for job_id in moved:
        assert engine.start(held.lease, job_id) == "skip"
        engine.run_job(split.lease, job_id)
    for job in held.jobs:
        if job["job_id"] not in moved:
            engine.run_job(held.lease, job["job_id"])
    assert engine.run(run.run_id).completed == 8
    assert engine.value("select count(*) from qgjob.attempt") == 8


def test_no_more_is_taken_back_than_fits_in_a_session(engine: Engine) -> None:
    engine.submit(*(f"{number}.js" for number in range(12)))
    held = engine.claim(engine.drive("slow"))
    assert len(held.jobs) == 12, "it is the only device"
    idle = engine.drive("idle")
    assert len(engine.claim(idle, max_s=75).jobs) == 2, "of 30 s each"
    engine.release(engine.claim(idle).lease)
    assert len(engine.claim(idle, max_s=1).jobs) == 1


def test_what_is_not_worth_an_install_stays(engine: Engine) -> None:
    engine.rows("insert into qgjob.org values ('acme', 1, null, now()) returning 1")
    engine.rows("insert into qgjob.test_timing values ('acme', 'a.js', 'emulator', '', 5, false), "
                "('acme', 'b.js', 'emulator', '', 5, false) returning 1")  # fmt: skip
    engine.submit("a.js", "b.js")
    slow, idle = engine.drive("slow"), engine.drive("idle")
    held = engine.claim(slow, max_jobs=2)
    engine.start(held.lease, held.jobs[0]["job_id"])
    assert engine.claim(idle) is None


def quick_tests(engine: Engine, *paths: str) -> None:
    engine.rows("insert into qgjob.org values ('acme', 1, null, now()) returning 1")
    engine.rows("insert into qgjob.install_timing values ('acme', 'emulator', 30) returning 1")
    for path in paths:
        engine.rows("insert into qgjob.test_timing values ('acme', %s, 'emulator', '', 20, false) returning 1", path)


@pytest.mark.parametrize("held_jobs", [1, 2])
def test_what_waits_behind_a_test_that_hangs_goes_to_an_idle_device(engine: Engine, held_jobs: int) -> None:
    """Whether it is pending still, or in the batch of the device that hangs."""
    quick_tests(engine, "a.js", "b.js")
    engine.submit("a.js", "b.js")
    slow, idle = engine.drive("slow", lease_s=3600), engine.drive("idle", lease_s=3600)
    held = engine.claim(slow, max_jobs=held_jobs)
    engine.move_clock(30)
    engine.call("record_install", lease=held.lease)
    engine.start(held.lease, held.jobs[0]["job_id"])
    engine.move_clock(130)
    assert engine.claim(idle) is None, "it was to take 20 s, and may take as long again as it has"
    engine.move_clock(20)
    assert [job["test_path"] for job in engine.claim(idle).jobs] == ["b.js"]


def test_a_job_that_has_started_stays(engine: Engine) -> None:
    engine.submit("a.js")
    slow, idle = engine.drive("slow"), engine.drive("idle")
    held = engine.claim(slow)
    engine.start(held.lease, held.jobs[0]["job_id"])
    assert engine.claim(idle) is None


def test_a_device_of_another_kind_takes_nothing_back(engine: Engine) -> None:
    engine.submit(*({"test_path": f"{number}.js", "selector": {"platform": "ios"}} for number in range(6)))
    holder = engine.drive("holder", platform="ios")
    held = engine.claim(holder)
    engine.start(held.lease, held.jobs[0]["job_id"])
    assert engine.claim(engine.drive("android", platform="android")) is None
    assert engine.claim(engine.drive("phone", target="device", platform="ios")) is None


def test_a_lease_that_has_ended_is_not_told_to_skip_but_is_refused(engine: Engine) -> None:
    run = engine.submit("a.js")
    held = engine.claim(engine.drive("gone"))
    engine.release(held.lease)
    engine.claim(engine.drive("next"))
    with pytest.raises(psycopg.Error, match="no longer held"):
        engine.start(held.lease, run.job_ids[0])
