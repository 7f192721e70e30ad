"""Organisations share the devices by weight, whatever they submit; in random histories with the clock moved."""

import random
from collections import defaultdict

import pytest
from engine import Driver, Engine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

PROPERTIES = settings(
    max_examples=6, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def fresh_orgs(engine: Engine, count: int) -> list[str]:
    """Organisations that no earlier example has used; the lanes of those are put to rest."""
    engine.rows("update qgjob.job_group set head_priority = null, head_at = null, rank_at = null returning 1")
    engine.rows("update qgjob.lane set active = false returning 1")
    engine.rows("update qgjob.job set status = 'cancelled', batch_id = null, finished_at = qgjob.now() "
                "where finished_at is null returning 1")  # fmt: skip
    engine.rows("update qgjob.batch set ended_at = qgjob.now(), end_reason = 'done' where ended_at is null returning 1")
    engine.rows("update qgjob.job_group set devices = 0 where devices > 0 returning 1")
    first = engine.value("select count(*) from qgjob.org")
    return [f"org-{first + number}" for number in range(count)]


def serve(engine: Engine, drivers: list[Driver], until_s: float, rng: random.Random) -> dict[str, float]:
    """Device-seconds given to each organisation while the devices work for so long; tests take 10 to 60 s each."""
    given_s: defaultdict[str, float] = defaultdict(float)
    now, free = 0.0, [(0.0, number) for number in range(len(drivers))]
    open_batches: dict[int, int] = {}
    while free:
        free.sort()
        at, number = free.pop(0)
        if at > until_s:
            continue
        engine.move_clock(at - now)
        now = at
        if number in open_batches:
            engine.release(open_batches.pop(number))
        batch = engine.claim(drivers[number], max_jobs=3)
        if batch is None:
            free.append((at + 5, number))
            continue
        if batch.install:
            engine.call("record_install", lease=batch.lease)
        took = sum(rng.uniform(10, 60) for _ in batch.jobs)
        for job in batch.jobs:
            engine.run_job(batch.lease, job["job_id"])
        given_s[batch.org_id] += min(took, until_s - at)
        open_batches[number] = batch.lease
        free.append((at + took, number))
    for lease in open_batches.values():
        engine.release(lease)
    return given_s


@PROPERTIES
@given(seed=st.integers(0, 10**6), orgs=st.integers(2, 5), devices=st.integers(1, 3))
def test_an_organisation_gets_its_share_however_much_it_submits(
    engine: Engine, seed: int, orgs: int, devices: int
) -> None:
    rng = random.Random(seed)
    names = fresh_orgs(engine, orgs)
    weights = [rng.choice([1, 4]) for _ in names]
    for position, (name, weight) in enumerate(zip(names, weights, strict=True)):
        # The first submits twice as much as the others, all of it urgent.
        builds, jobs = (30, 20) if position == 0 else (15, 20)
        priority = "urgent" if position == 0 else rng.choice(["low", "normal", "high"])
        for build in range(builds):
            engine.submit(*(f"{number}.js" for number in range(jobs)), org=name, build=f"v{build}",
                          defaults={"priority": priority})  # fmt: skip
        engine.rows("update qgjob.org set weight = %s where org_id = %s returning 1", weight, name)
    drivers = [engine.drive(f"phone-{names[0]}-{number}", lease_s=3600) for number in range(devices)]
    given_s = serve(engine, drivers, until_s=3600 / devices * orgs, rng=rng)
    total = sum(given_s.values())
    for name, weight in zip(names, weights, strict=True):
        share = given_s[name] / total
        fair = weight / sum(weights)
        # A stay on a build of up to 20 installs is the grain of sharing.
        assert abs(share - fair) < 0.12, (given_s, weights)
        assert given_s[name] > 0


@PROPERTIES
@given(seed=st.integers(0, 10**6), devices=st.integers(2, 5))
def test_an_organisation_never_has_more_devices_than_its_cap(engine: Engine, seed: int, devices: int) -> None:
    rng = random.Random(seed)
    capped, other = fresh_orgs(engine, 2)
    cap = rng.randint(1, devices - 1)
    engine.submit("first.js", org=capped)
    engine.rows("update qgjob.org set max_devices = %s where org_id = %s returning 1", cap, capped)
    for build in range(devices):
        engine.submit(*(f"{number}.js" for number in range(30)), org=capped, build=f"v{build}")
    drivers = [engine.drive(f"phone-{capped}-{number}", lease_s=3600) for number in range(devices)]
    claimed = [engine.claim(driver) for driver in drivers]
    assert sum(batch is not None for batch in claimed) == cap
    engine.submit("a.js", org=other)
    idle = next(driver for driver, batch in zip(drivers, claimed, strict=True) if batch is None)
    assert engine.claim(idle).org_id == other


def test_half_of_the_backlog_gives_no_more_than_a_share(engine: Engine) -> None:
    names = [f"org-{number}" for number in range(20)]
    for build in range(100):
        engine.submit(*(f"{number}.js" for number in range(5)), org="greedy", build=f"v{build}")
    for name in names:
        for build in range(5):
            engine.submit(*(f"{number}.js" for number in range(5)), org=name, build=f"v{build}")
    drivers = [engine.drive(f"phone-{number}", lease_s=3600) for number in range(4)]
    given_s = serve(engine, drivers, until_s=2700, rng=random.Random(1))
    share = given_s["greedy"] / sum(given_s.values())
    assert share < 2.5 / (len(names) + 1), given_s
    assert len(given_s) == len(names) + 1, "everybody was served"


def test_nobody_saves_up_a_claim_by_being_idle(engine: Engine) -> None:
    for build in range(20):
        engine.submit(*(f"{number}.js" for number in range(4)), org="steady", build=f"v{build}")
    driver = engine.drive(lease_s=86_400 // 24)
    serve(engine, [driver], until_s=600, rng=random.Random(1))
    for build in range(20):
        engine.submit(*(f"{number}.js" for number in range(4)), org="late", build=f"v{build}")
    given_s = serve(engine, [driver], until_s=1500, rng=random.Random(2))
    assert given_s["steady"] > 0.25 * sum(given_s.values()), given_s


def test_a_new_selector_is_no_new_start(engine: Engine) -> None:
    labels = {f"k{number}": "v" for number in range(15)}
    for org in ("fair-a", "fair-b"):
        engine.submit(*(f"{number}.js" for number in range(100)), org=org)
    driver = engine.drive(lease_s=3600, **labels)
    turns = []
    for number in range(15):
        engine.submit({"test_path": "a.js", "selector": {f"k{number}": "v"}}, org="greedy")
        batch = engine.claim(driver, max_jobs=1)
        turns.append(batch.org_id)
        engine.start(batch.lease, batch.jobs[0]["job_id"])
        engine.move_clock(60)
        engine.finish(batch.lease, batch.jobs[0]["job_id"])
        engine.release(batch.lease)
    assert turns.count("greedy") <= 6, turns


def turn(engine: Engine, driver: Driver, seconds: float = 30) -> str:
    """One job takes so long; whose it was."""
    batch = engine.claim(driver, max_jobs=1)
    if batch.install:
        engine.call("record_install", lease=batch.lease)
    engine.start(batch.lease, batch.jobs[0]["job_id"])
    engine.move_clock(seconds)
    engine.finish(batch.lease, batch.jobs[0]["job_id"])
    engine.release(batch.lease)
    return str(batch.org_id)


def turns(engine: Engine, driver: Driver, count: int) -> list[str]:
    return [turn(engine, driver) for _ in range(count)]


def test_what_was_used_while_nobody_else_waited_is_not_held_against_anybody(engine: Engine) -> None:
    driver = engine.drive(lease_s=3600)
    engine.submit(*(f"{number}.js" for number in range(20)), org="old")
    assert turns(engine, driver, 20) == ["old"] * 20
    engine.submit(*(f"{number}.js" for number in range(20)), org="new")  # nothing waits when it comes
    engine.submit("one.js", org="old")
    assert "old" in turns(engine, driver, 3)


def test_who_slept_until_nothing_waited_gets_no_more_than_its_share(engine: Engine) -> None:
    driver = engine.drive(lease_s=3600)
    for org in ("sleeper", "steady"):
        engine.submit("first.js", org=org)
    turns(engine, driver, 2)
    engine.submit(*(f"{number}.js" for number in range(20)), org="steady")
    turns(engine, driver, 20)
    for org in ("sleeper", "steady"):
        engine.submit(*(f"{number}.js" for number in range(20)), org=org, build="v2")
    assert turns(engine, driver, 8).count("sleeper") <= 5


def test_what_no_device_can_serve_gives_nobody_a_head_start(engine: Engine) -> None:
    driver = engine.drive(lease_s=3600)
    engine.submit({"test_path": "a.js", "selector": {"model": "none"}}, org="ghost")
    engine.submit(*(f"{number}.js" for number in range(40)), org="steady")
    turns(engine, driver, 20)
    engine.submit(*(f"{number}.js" for number in range(20)), org="new")
    assert turns(engine, driver, 8).count("new") <= 5


@pytest.mark.parametrize("why", ["limited", "rare"])
def test_who_comes_does_not_start_where_somebody_is_who_cannot_use_more(engine: Engine, why: str) -> None:
    """Nor gets all devices until it has had as little."""
    drivers = [engine.drive(f"phone-{number}", lease_s=3600, **({"model": "rare"} if number == 0 else {}))
               for number in range(3)]  # fmt: skip
    selector = {"model": "rare"} if why == "rare" else {}
    for build in range(2):
        engine.submit(*({"test_path": f"{number}.js", "selector": selector} for number in range(100)),
                      org="behind", build=f"v{build}")  # fmt: skip
    if why == "limited":
        engine.call("change_org", org_id="behind", changes={"max_devices": 1})
    for build in range(40):
        engine.submit(*(f"{number}.js" for number in range(20)), org="steady", build=f"v{build}")
    serve(engine, drivers, until_s=3600, rng=random.Random(1))
    for build in range(40):
        engine.submit(*(f"{number}.js" for number in range(20)), org="new", build=f"v{build}")
    given_s = serve(engine, drivers, until_s=1200, rng=random.Random(2))
    assert 0.35 < given_s["steady"] / (given_s["steady"] + given_s["new"]) < 0.65, given_s


def test_after_the_clock_went_back_who_comes_starts_level_with_the_others(engine: Engine) -> None:
    driver = engine.drive(lease_s=3600)
    engine.submit("a.js", org="gone")
    engine.move_clock(6 * 3600)
    turns(engine, driver, 1)
    engine.move_clock(-6 * 3600)
    engine.call("housekeep")
    engine.submit(*(f"{number}.js" for number in range(99)), org="steady")
    turns(engine, driver, 40)
    engine.submit(*(f"{number}.js" for number in range(99)), org="new")
    engine.rows("update qgjob.device set installed_build = null, installed_at = null returning 1")
    passes = dict(engine.rows("select org_id, pass as reached from qgjob.lane"))
    assert passes["new"] == passes["steady"] > passes["gone"], passes


def test_a_device_does_not_stay_for_ever_when_the_clock_went_back(engine: Engine) -> None:
    driver = engine.drive(lease_s=3600)
    engine.submit(*(f"{number}.js" for number in range(99)), org="long")
    engine.move_clock(6 * 3600)
    turns(engine, driver, 1)
    engine.move_clock(-6 * 3600)
    engine.submit("a.js", org="other")
    assert "other" in turns(engine, driver, 3)


def test_the_share_of_one_kind_of_device_does_not_count_for_another(engine: Engine) -> None:
    emulator, phone = engine.drive(lease_s=3600), engine.drive("real", target="device", lease_s=3600)
    engine.submit(*(f"{number}.js" for number in range(20)), org="old")
    turns(engine, emulator, 20)
    engine.submit(*({"test_path": f"{number}.js", "target": "device"} for number in range(20)), org="other")
    turns(engine, phone, 2)
    engine.submit({"test_path": "a.js", "target": "device"}, org="old")
    assert "old" in turns(engine, phone, 3)


def test_a_new_weight_counts_for_what_was_charged_before(engine: Engine) -> None:
    driver = engine.drive(lease_s=3600)
    for org in ("light", "even"):
        engine.submit(*(f"{number}.js" for number in range(60)), org=org)
    engine.call("change_org", org_id="light", changes={"weight": 0.05})
    turns(engine, driver, 12)
    engine.call("change_org", org_id="light", changes={"weight": 1})
    assert 4 <= turns(engine, driver, 12).count("light") <= 8


def test_a_large_group_is_not_passed_over_for_ever_by_small_ones(engine: Engine) -> None:
    driver = engine.drive(lease_s=3600)
    engine.submit(*(f"{number}.js" for number in range(20)), build="large")
    served = []
    for number in range(60):
        engine.submit("small.js", build=f"v{number}")
        batch = engine.claim(driver, max_jobs=4)
        served.append(batch.app_version_id)
        for job in batch.jobs:
            engine.start(batch.lease, job["job_id"])
            engine.move_clock(30)
            engine.finish(batch.lease, job["job_id"])
        engine.rows("update qgjob.device set installed_build = null, installed_at = null returning 1")
        engine.release(batch.lease)
    assert served.count("large") == 5


def weighs(engine: Engine, org: str, weight: float) -> None:
    engine.call("change_org", org_id=org, changes={"weight": weight})


def seconds_on(engine: Engine, driver: Driver) -> dict[str, float]:
    return {row.org_id: float(row.used_s) for row in engine.rows(
        "select org_id, sum(extract(epoch from ended_at - claimed_at)) as used_s from qgjob.batch "
        "where device_id = %s group by org_id", driver.device_id)}  # fmt: skip


def test_the_priority_of_a_job_counts_in_all_lanes_of_its_organisation(engine: Engine) -> None:
    driver = engine.drive(lease_s=3600, os="14")
    engine.submit({"test_path": "urgent.js", "priority": "urgent"}, org="acme", build="v0")
    for number in range(3):
        engine.submit(
            {"test_path": "low.js", "priority": "low", "selector": {"os": "14"}}, org="acme", build=f"v{number}"
        )
    assert engine.claim(driver).jobs[0]["test_path"] == "urgent.js"


def test_no_lane_waits_for_ever_behind_another_of_its_organisation(engine: Engine) -> None:
    driver = engine.drive(lease_s=3600, os="14")
    engine.submit("old.js", org="acme", build="old")
    served = []
    for number in range(10):
        engine.submit({"test_path": "new.js", "selector": {"os": "14"}}, org="acme", build=f"v{number}")
        batch = engine.claim(driver, max_jobs=1)
        served.append(batch.jobs[0]["test_path"])
        engine.start(batch.lease, batch.jobs[0]["job_id"])
        engine.move_clock(30)
        engine.finish(batch.lease, batch.jobs[0]["job_id"])
        engine.release(batch.lease)
    assert "old.js" in served


def test_who_submits_to_its_lanes_by_turns_is_not_charged_twice(engine: Engine) -> None:
    driver = engine.drive(lease_s=3600, os="14", form="phone")
    engine.submit(*(f"{number}.js" for number in range(100)), org="steady")
    served, number = [], 0
    for _ in range(40):
        while not engine.value("select count(*) from qgjob.job where org_id = 'turns' and status = 'pending'"):
            number += 1
            engine.submit({"test_path": "a.js", "selector": {"os": "14"} if number % 2 else {"form": "phone"}},
                          org="turns", build=f"v{number}")  # fmt: skip
        batch = engine.claim(driver, max_jobs=1)
        served.append(batch.org_id)
        if batch.org_id == "turns":  # while it runs in the one lane, more comes to the other
            number += 1
            engine.submit({"test_path": "a.js", "selector": {"os": "14"} if number % 2 else {"form": "phone"}},
                          org="turns", build=f"v{number}")  # fmt: skip
        engine.start(batch.lease, batch.jobs[0]["job_id"])
        engine.move_clock(60)
        engine.finish(batch.lease, batch.jobs[0]["job_id"])
        engine.rows("update qgjob.device set installed_build = null, installed_at = null returning 1")
        engine.release(batch.lease)
    assert 17 <= served.count("turns") <= 23, served


def test_devices_of_ones_own_take_nothing_from_the_share_of_the_others(engine: Engine) -> None:
    shared = engine.drive("shared", lease_s=3600, pool="shared")
    own = []
    for number in range(3):
        worker = engine.call("register_worker", name=f"of own-{number}", version="test", targets=["emulator"],
                             lease_s=3600, org_ids=["owner"])[0]  # fmt: skip
        device = engine.call("register_device", worker_id=worker, name=f"own-{number}", target="emulator", labels={})
        own.append(Driver(worker, device[0]))
    for build in range(25):
        engine.submit(*(f"{number}.js" for number in range(10)), org="owner", build=f"v{build}")
        engine.submit({"test_path": "a.js", "selector": {"pool": "shared"}}, org="owner", build=f"v{build}")
        engine.submit(*(f"{number}.js" for number in range(4)), org="guest", build=f"v{build}")
    serve(engine, [shared, *own], until_s=1500, rng=random.Random(1))
    used_s = seconds_on(engine, shared)
    assert 0.35 < used_s["owner"] / sum(used_s.values()) < 0.65, used_s


def suites(engine: Engine, org: str, platform: str, builds: int) -> None:
    for build in range(builds):
        engine.submit(*({"test_path": f"{number}.js", "selector": {"platform": platform}} for number in range(5)),
                      org=org, build=f"{platform}-{build}")  # fmt: skip


def test_the_share_of_some_devices_does_not_count_for_others_of_their_target(engine: Engine) -> None:
    ios = [engine.drive(f"ios-{number}", lease_s=3600, platform="ios") for number in range(2)]
    android = engine.drive("android", lease_s=3600, platform="android")
    suites(engine, "both", "ios", 30)
    suites(engine, "both", "android", 15)
    suites(engine, "other", "android", 15)
    serve(engine, [*ios, android], until_s=1500, rng=random.Random(1))
    used_s = seconds_on(engine, android)
    assert 0.35 < used_s["both"] / sum(used_s.values()) < 0.65, used_s

    # Who comes to the one kind starts level with those who use it, and not with those of the other.
    suites(engine, "both", "ios", 60)
    suites(engine, "new", "ios", 40)
    given_s = serve(engine, ios, until_s=1500, rng=random.Random(2))
    assert 0.3 < given_s["new"] / sum(given_s.values()) < 0.7, given_s


def test_tests_that_take_hours_are_charged_while_they_run(engine: Engine) -> None:
    engine.mark("1 hour")
    driver, busy = engine.drive(lease_s=3600), engine.drive("busy", lease_s=3600)
    engine.submit("a.js", org="slow", build="v1")
    engine.call("record_install", lease=engine.claim(busy).lease)
    engine.submit("b.js", org="slow", build="v2")
    engine.submit(*(f"{number}.js" for number in range(3)), org="quick")
    for _ in range(10):
        engine.move_clock(60)
        engine.call("housekeep")
    assert set(turns(engine, driver, 3)) == {"quick"}


def test_a_build_that_never_ends_gives_no_more_than_a_share(engine: Engine) -> None:
    """Each has one build with more work than the devices can do, and the first has them all when the other comes."""
    drivers = [engine.drive(f"phone-{number}", lease_s=3600) for number in range(4)]
    engine.submit(*(f"{number}.js" for number in range(2000)), org="old")
    serve(engine, drivers, until_s=300, rng=random.Random(1))
    engine.submit(*(f"{number}.js" for number in range(2000)), org="new")
    weighs(engine, "new", 3)
    given_s = serve(engine, drivers, until_s=2 * 3600, rng=random.Random(2))
    assert 0.65 < given_s["new"] / sum(given_s.values()) < 0.85, given_s
