"""What the engine knows of device clouds: wiped devices, sessions that cost and end, parallels that workers share."""

from typing import Any

import pytest
from engine import Driver, Engine, refused
from invariants import assert_all
from test_races import Session, after, held, second

__all__ = ["second"]
CLOUD = {"target": "browserstack"}


def slot(engine: Engine, name: str = "cloud-1") -> Driver:
    return engine.drive(name, "browserstack")


def admit(engine: Engine, lease: int, running: int = 0, known: list[int] | None = None, allowed: int = 2) -> bool:
    answer = engine.call(
        "admit_session", lease=lease, account="me", allowed=allowed, running=running, known=known or []
    )
    return bool(answer.admitted)


def known(engine: Engine) -> list[int]:
    return list(engine.call("list_sessions", account="me").leases)


def leases(engine: Engine, count: int) -> list[int]:
    """Batches of one job each, on as many slots."""
    for number in range(count):
        engine.submit("a.js", build=f"v{number}", defaults=CLOUD)
    return [engine.claim(slot(engine, f"cloud-{number}")).lease for number in range(count)]


@pytest.mark.parametrize("reason", ["done", "drained", "busy", "unprepared"])
def test_a_device_of_a_cloud_holds_no_build_after_its_batch(engine: Engine, reason: str) -> None:
    engine.submit("a.js", "b.js", defaults=CLOUD)
    driver = slot(engine)
    batch = engine.claim(driver, max_jobs=1)
    engine.call("record_install", lease=batch.lease)
    engine.release(batch.lease, reason)
    assert engine.value("select installed_build from qgjob.device") is None
    assert engine.claim(driver).install
    assert_all(engine)


def test_a_device_of_a_cloud_holds_no_build_after_the_last_job_of_its_batch(engine: Engine) -> None:
    engine.submit("a.js", "b.js", defaults=CLOUD)
    driver = slot(engine)
    batch = engine.claim(driver, max_jobs=1)
    engine.call("record_install", lease=batch.lease)
    engine.run_job(batch.lease, batch.jobs[0]["job_id"])
    assert engine.claim(driver).install, "the claim has ended the batch"


def test_a_busy_cloud_costs_no_job_anything_however_often(engine: Engine) -> None:
    run = engine.submit("a.js", "b.js", defaults=CLOUD)
    driver = slot(engine)
    for _ in range(10):
        engine.release(engine.claim(driver).lease, "busy")
    assert engine.rows("select attempts, losses, status from qgjob.job") == [(0, 0, "pending")] * 2
    assert sorted(engine.run_all(driver)) == sorted(run.job_ids)
    assert_all(engine)


def test_one_device_of_a_cloud_takes_a_small_group_in_one_batch(engine: Engine) -> None:
    engine.submit(*(f"{number}.js" for number in range(10)), defaults=CLOUD)
    assert len(engine.claim(slot(engine)).jobs) == 10


def test_devices_of_a_cloud_share_a_group_evenly_in_one_batch_each(engine: Engine) -> None:
    engine.submit(*(f"{number:02}.js" for number in range(12)), defaults=CLOUD)
    slots = [slot(engine, f"cloud-{number}") for number in range(3)]
    assert [len(engine.claim(driver).jobs) for driver in slots] == [4, 4, 4]


def test_devices_of_a_cloud_do_not_count_those_that_leave(engine: Engine) -> None:
    engine.submit(*(f"{number:02}.js" for number in range(20)), defaults=CLOUD)
    leaving, staying = ([slot(engine, f"{name}-{number}") for number in range(2)] for name in ("old", "new"))
    assert [len(engine.claim(driver).jobs) for driver in leaving] == [20 // 4, 15 // 3]
    for driver in leaving:
        engine.call("drain_worker", worker_id=driver.worker_id)
    assert [len(engine.claim(driver).jobs) for driver in staying] == [5, 5]


def test_a_batch_of_a_cloud_is_worth_its_session(engine: Engine) -> None:
    engine.submit(*(f"{number:02}.js" for number in range(12)), defaults=CLOUD)
    engine.rows("insert into qgjob.install_timing values ('acme', 'browserstack', 90) returning 1")
    slots = [slot(engine, f"cloud-{number}") for number in range(12)]
    sizes = [len(batch.jobs) for driver in slots if (batch := engine.claim(driver))]
    assert sizes == [3, 3, 3, 3], "30 s each, and a session costs 90 s"


def test_a_batch_fits_into_a_session_by_what_is_predicted(engine: Engine) -> None:
    engine.submit(*(f"{number}.js" for number in range(10)), defaults=CLOUD)
    driver = slot(engine)
    batch = engine.claim(driver, max_s=95.0)
    assert len(batch.jobs) == 3, "30 s each"
    engine.release(batch.lease)
    batch = engine.claim(driver, max_s=1.0)
    assert len(batch.jobs) == 1, "one has to be tried"
    engine.release(batch.lease)
    assert len(engine.claim(driver, max_s=None).jobs) == 10


def test_emulators_share_what_is_left_again_and_again(engine: Engine) -> None:
    """An emulator keeps its installation, so it comes back for more, and leaves of it what another could do."""
    engine.submit(*(f"{number:02}.js" for number in range(12)))
    drivers = [engine.drive(f"phone-{number}") for number in range(3)]
    assert [len(engine.claim(driver).jobs) for driver in drivers] == [12 // 3, 8 // 3, 6 // 3]


def test_the_session_is_what_an_install_costs_in_a_cloud(engine: Engine) -> None:
    engine.submit("a.js", defaults=CLOUD)
    batch = engine.claim(slot(engine))
    engine.move_clock(1)
    engine.call("record_install", lease=batch.lease)
    assert engine.rows("select from qgjob.install_timing") == [], "that was the upload"
    engine.move_clock(44)
    engine.call("record_session", lease=batch.lease, session_id="s1")
    assert engine.value("select round(mean_s) from qgjob.install_timing") == 45
    engine.move_clock(100)
    engine.call("record_session", lease=batch.lease, session_id="s1", video_url="https://v")
    assert engine.value("select round(mean_s) from qgjob.install_timing") == 45
    assert engine.row(
        "select session_id, video_url, round(extract(epoch from prepared_at - claimed_at))::integer,"
        " installed_at = prepared_at from qgjob.batch"
    ) == ("s1", "https://v", 45, True)
    assert engine.value("select round(install_s) from reporting.batches") == 45


def test_a_session_elsewhere_is_no_install(engine: Engine) -> None:
    engine.submit("a.js")
    batch = engine.claim(engine.drive())
    engine.call("record_install", lease=batch.lease)
    engine.move_clock(44)
    engine.call("record_session", lease=batch.lease, session_id="s1")
    assert engine.value("select round(mean_s) from qgjob.install_timing") == 0
    assert engine.value("select prepared_at > installed_at from qgjob.batch")


def test_a_lease_that_is_no_longer_held_records_no_session_and_is_not_admitted(engine: Engine) -> None:
    (lease,) = leases(engine, 1)
    engine.release(lease)
    with refused("lease_is_held"):
        engine.call("record_session", lease=lease, session_id="s1")
    with refused("lease_is_held"):
        admit(engine, lease)
    assert engine.row("select session_id, account from qgjob.batch") == (None, None)


def test_attempts_tell_where_they_are_in_the_video_of_their_batch(engine: Engine) -> None:
    engine.submit("a.js", "b.js", defaults=CLOUD)
    batch = engine.claim(slot(engine))
    engine.call("record_session", lease=batch.lease, session_id="s1")
    engine.move_clock(7)
    engine.run_job(batch.lease, batch.jobs[0]["job_id"])
    engine.move_clock(20)
    engine.run_job(batch.lease, batch.jobs[1]["job_id"], "failed", "test")
    offsets = "select video_url, round(video_offset_s) from reporting.attempts order by job_id"
    assert engine.rows(offsets) == [(None, None)] * 2
    engine.call("record_session", lease=batch.lease, video_url="https://v")
    assert engine.rows(offsets) == [("https://v", 7), ("https://v", 27)]


def test_no_more_sessions_are_admitted_than_the_plan_allows(engine: Engine) -> None:
    first, middle, last = leases(engine, 3)
    assert [admit(engine, lease) for lease in (first, middle, last)] == [True, True, False]
    assert admit(engine, first), "a repeated question has the same answer"
    engine.release(middle)
    assert admit(engine, last)


def test_what_others_use_is_not_ours(engine: Engine) -> None:
    one, two = leases(engine, 2)
    assert not admit(engine, one, running=2)
    assert admit(engine, one, running=1)
    assert not admit(engine, two, running=1), "the other one may not have been counted yet"


def test_our_own_sessions_are_not_taken_for_those_of_others(engine: Engine) -> None:
    one, two, three = leases(engine, 3)
    assert admit(engine, one)
    assert known(engine) == []
    engine.call("record_session", lease=one, session_id="s1")
    assert known(engine) == [one]
    assert admit(engine, two, running=1, known=[one])
    assert not admit(engine, three, running=1, known=[one])


def test_a_session_that_ended_after_the_provider_counted_leaves_no_room_too_early(engine: Engine) -> None:
    one, two = leases(engine, 2)
    assert admit(engine, one, allowed=1)
    engine.call("record_session", lease=one, session_id="s1")
    seen = known(engine)
    engine.release(one)
    assert not admit(engine, two, running=1, known=seen, allowed=1), "perhaps it still runs"
    assert admit(engine, two, running=0, known=seen, allowed=1)


def test_accounts_do_not_share_their_parallels(engine: Engine) -> None:
    one, two = leases(engine, 2)
    assert admit(engine, one, allowed=1)
    assert engine.call("admit_session", lease=two, account="you", allowed=1, running=0, known=[]).admitted


def test_a_lost_worker_gives_its_parallel_back_with_its_lease(engine: Engine) -> None:
    one, two = leases(engine, 2)
    assert admit(engine, one, allowed=1)
    assert not admit(engine, two, allowed=1)
    engine.expire(one)
    engine.call("housekeep")
    assert admit(engine, two, allowed=1)


def test_two_workers_never_both_get_the_last_parallel(engine: Engine, second: Session) -> None:
    one, two = leases(engine, 2)
    with held(engine):
        assert admit(engine, one, allowed=1)
        other: Any = second.blocked(lambda session: admit(session, two, allowed=1))
    assert after(other) is False
