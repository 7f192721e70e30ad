"""Which device gets which jobs, and when it installs."""

import pytest
from engine import Driver, Engine, refused


def paths(batch: object) -> list[str]:
    return [job["test_path"] for job in batch.jobs]  # type: ignore[attr-defined]


def test_a_group_runs_on_one_installation(engine: Engine) -> None:
    engine.submit(*(f"{number}.js" for number in range(7)))
    driver = engine.drive()
    engine.drive("phone-2")  # or the first would take them all at once
    installs = []
    while batch := engine.claim(driver):
        installs.append(batch.install)
        engine.call("record_install", lease=batch.lease)
        for job in batch.jobs:
            engine.run_job(batch.lease, job["job_id"])
        engine.release(batch.lease)
    assert installs == [True, *[False] * (len(installs) - 1)]
    assert len(installs) > 1


def test_a_batch_holds_jobs_of_one_build_target_selector_and_reset(engine: Engine) -> None:
    engine.submit("a.js", build="v1")
    engine.submit("a.js", build="v2")
    engine.submit("a.js", org="globex")
    engine.submit({"test_path": "a.js", "selector": {"platform": "ios"}})
    engine.submit({"test_path": "a.js", "reset": "none"})
    engine.submit({"test_path": "a.js", "target": "device"})
    driver = engine.drive(platform="ios")
    seen = []
    while batch := engine.claim(driver):
        assert len(batch.jobs) == 1
        seen.append((batch.org_id, batch.app_version_id, batch.target, str(batch.selector), batch.reset))
        engine.run_job(batch.lease, batch.jobs[0]["job_id"])
        engine.release(batch.lease)
    assert len(set(seen)) == 5


def test_a_higher_priority_goes_first_and_then_the_older(engine: Engine) -> None:
    engine.submit("low.js", build="v1", defaults={"priority": "low"})
    engine.submit("old.js", build="v2")
    engine.submit("new.js", "newer.js", {"test_path": "first.js", "priority": "urgent"}, build="v3")
    driver = engine.drive()
    batches = [engine.claim(driver, max_jobs=1)]
    while batches[-1]:
        engine.run_job(batches[-1].lease, batches[-1].jobs[0]["job_id"])
        engine.release(batches[-1].lease)
        batches.append(engine.claim(driver, max_jobs=1))
    assert [paths(batch) for batch in batches[:-1]] == [["first.js"], ["old.js"], ["new.js"], ["newer.js"], ["low.js"]]


def test_a_device_goes_on_with_its_build_before_it_takes_an_older_group(engine: Engine) -> None:
    engine.submit("c.js", build="v2")
    engine.submit("a.js", "b.js", build="v1", defaults={"priority": "high"})
    driver = engine.drive()
    batch = engine.claim(driver, max_jobs=1)
    engine.call("record_install", lease=batch.lease)
    engine.release(batch.lease)
    batch = engine.claim(driver)
    assert (batch.app_version_id, batch.install) == ("v1", False)


def test_a_higher_priority_that_no_device_serves_ends_a_stay_at_once(engine: Engine) -> None:
    engine.submit("a.js", "b.js", build="v1")
    driver = engine.drive()
    batch = engine.claim(driver, max_jobs=1)
    engine.call("record_install", lease=batch.lease)
    engine.release(batch.lease)
    engine.submit("c.js", build="v2", defaults={"priority": "urgent"})
    assert engine.claim(driver).app_version_id == "v2"


def test_an_organisation_keeps_its_devices_when_it_has_something_urgent(engine: Engine) -> None:
    """One of them installs that; none goes to another organisation, whose turn it would be."""
    engine.submit(*(f"{number}.js" for number in range(400)), build="v1")
    drivers = [engine.drive(f"phone-{number}") for number in range(3)]
    for driver in drivers:
        engine.run_batch(driver, max_jobs=1)
    engine.submit(*(f"{number}.js" for number in range(400)), org="other")
    engine.rows("update qgjob.lane set pass = case org_id when 'acme' then 200 else 0 end returning 1")
    engine.submit({"test_path": "fix.js", "priority": "urgent"}, build="hotfix")
    batches = [engine.claim(driver, max_jobs=1) for driver in drivers]
    assert [(batch.org_id, batch.app_version_id, batch.install) for batch in batches] == [
        ("acme", "hotfix", True), ("acme", "v1", False), ("acme", "v1", False)]  # fmt: skip


def test_what_is_urgent_is_joined_where_that_is_worth_it(engine: Engine) -> None:
    """And nobody goes on with less because something that nobody serves is more urgent, too, but not the most."""
    own = engine.drive("own", pool="own")
    engine.submit(*({"test_path": f"{number}.js", "priority": "urgent"} for number in range(600)), build="v3")
    engine.run_batch(own, max_jobs=1)
    shared = engine.drive("shared")
    engine.submit(*(f"{number}.js" for number in range(60)), build="v1", defaults={"priority": "normal"})
    engine.rows("update qgjob.device set installed_at = qgjob.now(), installed_build = build from qgjob.job_group "
                "where app_version_id = 'v1' and name = 'shared' returning 1")  # fmt: skip
    engine.submit("a.js", build="v2", defaults={"priority": "high"})
    assert engine.claim(shared).app_version_id == "v3"


def test_a_build_of_another_organisation_is_another_build(engine: Engine) -> None:
    engine.submit("a.js")
    driver = engine.drive()
    batch = engine.claim(driver)
    engine.call("record_install", lease=batch.lease)
    engine.run_job(batch.lease, batch.jobs[0]["job_id"])
    engine.release(batch.lease)
    engine.submit("a.js", org="globex")
    assert engine.claim(driver).install


def test_a_device_that_held_a_group_for_long_yields_to_one_that_waits(engine: Engine) -> None:
    engine.submit("a.js", "b.js", "c.js", build="v1")
    driver = engine.drive()
    batch = engine.claim(driver, max_jobs=1)
    engine.move_clock(30)
    engine.call("record_install", lease=batch.lease)
    engine.release(batch.lease)
    engine.submit("d.js", build="v2", org="globex")
    engine.move_clock(20 * 30 - 5)
    batch = engine.claim(driver, max_jobs=1)
    assert batch.app_version_id == "v1"
    engine.release(batch.lease)
    engine.move_clock(10)
    assert engine.claim(driver).app_version_id == "v2"


def test_a_device_that_held_a_group_for_long_stays_while_nothing_else_waits(engine: Engine) -> None:
    engine.submit("a.js", "b.js")
    driver = engine.drive()
    batch = engine.claim(driver, max_jobs=1)
    engine.call("record_install", lease=batch.lease)
    engine.release(batch.lease)
    engine.move_clock(3600)
    assert not engine.claim(driver).install


def test_a_device_gets_only_what_its_labels_satisfy(engine: Engine) -> None:
    wanted = {"platform": "ios", "region": "eu"}
    engine.submit({"test_path": "a.js", "selector": wanted})
    for name, labels in (("plain", {}), ("half", {"platform": "ios"}), ("other", {"platform": "ios", "region": "us"})):
        assert engine.claim(engine.drive(name, **labels)) is None
    batch = engine.claim(engine.drive("right", platform="ios", region="eu", os="18"))
    assert batch.selector == wanted


def test_a_device_gets_only_its_target(engine: Engine) -> None:
    engine.submit({"test_path": "a.js", "target": "browserstack"})
    assert engine.claim(engine.drive("emulator", "emulator")) is None
    assert engine.claim(engine.drive("phone", "device")) is None
    assert engine.claim(engine.drive("cloud", "browserstack")).target == "browserstack"


def test_a_second_device_joins_a_group_only_where_that_is_worth_an_install(engine: Engine) -> None:
    engine.submit("a.js", "b.js")
    engine.claim(engine.drive("phone-1"), max_jobs=1)
    assert engine.claim(engine.drive("phone-2")) is None, "one test of 30 s is not worth an install of 30 s"
    engine.submit("c.js", "d.js")
    assert engine.claim(engine.drive("phone-3"), max_jobs=1).install
    assert engine.claim(engine.drive("phone-4")) is None, "two tests for two devices are not worth a third"


def test_nothing_waits_for_devices_that_come_back_late_or_never(engine: Engine) -> None:
    engine.submit("long.js")
    busy, idle = engine.drive("phone-1", lease_s=3600), engine.drive("phone-2", lease_s=3600)
    batch = engine.claim(busy)
    engine.rows("update qgjob.job set predicted_s = 3600 returning 1")
    engine.start(batch.lease, batch.jobs[0]["job_id"])
    engine.submit("short.js")
    assert len(engine.claim(idle).jobs) == 1


def take_away(engine: Engine, driver: Driver, why: str) -> None:
    """From now on the device takes nothing of acme."""
    match why:
        case "lost":
            engine.rows("update qgjob.worker set seen_at = seen_at - interval '2 h' where worker_id = %s returning 1",
                        driver.worker_id)  # fmt: skip
        case "drains":
            engine.call("drain_worker", worker_id=driver.worker_id)
        case "quarantined":
            engine.call("quarantine_device", device_id=driver.device_id, reason="broken glass")
        case "of others":
            engine.rows("update qgjob.device set org_ids = '{globex}' where device_id = %s returning 1",
                        driver.device_id)  # fmt: skip
        case _:
            raise ValueError(why)


def holder_and_another(engine: Engine) -> tuple[Driver, Driver]:
    """Two idle devices, of which the first holds the build of the job that waits."""
    holder, another = engine.drive("phone-1"), engine.drive("phone-2")
    engine.submit("a.js")
    engine.run_batch(holder)
    assert engine.claim(holder) is None
    engine.rows("update qgjob.install_timing set mean_s = 20 returning 1")
    engine.submit("a.js")
    return holder, another


def test_a_group_is_left_to_an_idle_device_that_holds_its_build(engine: Engine) -> None:
    holder, another = holder_and_another(engine)
    assert engine.claim(another) is None, "whoever asks first"
    batch = engine.claim(holder)
    assert (paths(batch), batch.install) == (["a.js"], False)


def test_a_group_does_not_wait_for_an_idle_device_for_longer_than_an_install(engine: Engine) -> None:
    _, another = holder_and_another(engine)
    engine.move_clock(19)
    assert engine.claim(another) is None
    engine.move_clock(2)
    assert engine.claim(another).install


def test_a_group_with_work_for_two_is_not_left_to_one(engine: Engine) -> None:
    _, another = holder_and_another(engine)
    engine.submit("b.js")  # 30 s each, as long as nothing is known
    engine.rows("update qgjob.job set predicted_s = 30 where status = 'pending' returning 1")
    assert len(engine.claim(another).jobs) == 1


def test_a_device_does_not_leave_its_build_for_what_is_left_to_another(engine: Engine) -> None:
    holder, another = engine.drive("phone-1"), engine.drive("phone-2")
    for driver, build in ((holder, "v1"), (another, "v2")):
        engine.submit("a.js", build=build)
        engine.run_batch(driver)
        assert engine.claim(driver) is None
    engine.rows("update qgjob.install_timing set mean_s = 20 returning 1")
    engine.submit("a.js", "b.js", build="v1")
    engine.submit("c.js", org="globex")
    engine.submit("a.js", build="v2", defaults={"priority": "urgent"})
    engine.rows("update qgjob.job set predicted_s = 1 where status = 'pending' returning 1")
    batch = engine.claim(holder)
    assert (batch.org_id, batch.app_version_id, batch.install) == ("acme", "v1", False)
    batch = engine.claim(another)
    assert (batch.app_version_id, batch.install) == ("v2", False)


@pytest.mark.parametrize("why", ["busy", "lost", "drains", "quarantined", "other labels", "of others"])
def test_a_group_is_not_left_to_a_device_that_would_not_take_it(engine: Engine, why: str) -> None:
    holder, another = holder_and_another(engine)
    match why:
        case "busy":
            engine.submit({"test_path": "z.js", "reset": "none", "priority": "urgent"})
            assert paths(engine.claim(holder)) == ["z.js"]
        case "other labels":
            engine.rows("update qgjob.device set labels = '{\"region\": \"eu\"}' where device_id = %s returning 1",
                        another.device_id)  # fmt: skip
            engine.submit({"test_path": "b.js", "selector": {"region": "eu"}})
            assert paths(engine.claim(another)) == ["b.js"]
            return
        case _:
            take_away(engine, holder, why)
    assert paths(engine.claim(another)) == ["a.js"]


@pytest.mark.parametrize("leaves", ["quarantine_device", "drain_worker"])
def test_nothing_waits_for_a_device_that_takes_nothing_more(engine: Engine, leaves: str) -> None:
    engine.submit("a.js")
    busy, idle = engine.drive("phone-1"), engine.drive("phone-2")
    engine.claim(busy)
    engine.submit("b.js")
    assert engine.claim(idle) is None, "one test is not worth an install"
    if leaves == "quarantine_device":
        engine.call(leaves, device_id=busy.device_id, reason="broken glass")
    else:
        engine.call(leaves, worker_id=busy.worker_id)
    assert len(engine.claim(idle).jobs) == 1


@pytest.mark.parametrize("most", [0, -1, None])
def test_a_claim_for_no_jobs_gets_one_or_the_usual(engine: Engine, most: int | None) -> None:
    engine.submit("a.js", "b.js")
    assert len(engine.claim(engine.drive(), max_jobs=most, max_s=float("nan")).jobs) == (2 if most is None else 1)


def test_a_second_device_takes_an_unserved_group_before_it_joins_one(engine: Engine) -> None:
    engine.submit(*(f"{number}.js" for number in range(50)), build="v1")
    engine.submit("z.js", build="v2")
    claimed = [engine.claim(engine.drive(f"phone-{number}")).app_version_id for number in range(3)]
    assert claimed == ["v2", "v1", "v1"]  # the small group would be done first


def test_batches_shrink_with_what_is_left(engine: Engine) -> None:
    engine.submit(*(f"{number}.js" for number in range(10)))
    driver = engine.drive()
    engine.drive("phone-2")
    sizes = []
    while batch := engine.claim(driver):
        sizes.append(len(batch.jobs))
        for job in batch.jobs:
            engine.run_job(batch.lease, job["job_id"])
        engine.release(batch.lease)
    assert sizes == [5, 2, 1, 1, 1]


def test_many_devices_take_full_batches_of_a_big_group(engine: Engine) -> None:
    engine.submit(*(f"tests/{number}.js" for number in range(1000)))
    drivers = [engine.drive(f"phone-{number}") for number in range(25)]
    sizes = [len(engine.claim(driver, max_jobs=50).jobs) for driver in drivers[:3]]
    assert sizes == [1000 // 25, 960 // 25, 922 // 25]


def test_a_device_without_others_of_its_kind_takes_all(engine: Engine) -> None:
    engine.drive("another", target="device")
    engine.submit(*(f"{number}.js" for number in range(10)))
    assert len(engine.claim(engine.drive()).jobs) == 10


@pytest.mark.parametrize("target", ["emulator", "browserstack"])
@pytest.mark.parametrize(("cap", "sizes"), [(1, [12]), (2, [6, 3, 1, 1, 1])])
def test_a_device_leaves_no_share_to_more_than_its_organisation_may_have(
    engine: Engine, target: str, cap: int, sizes: list[int]
) -> None:
    engine.submit(*({"test_path": f"{number}.js", "target": target} for number in range(12)))
    engine.call("change_org", org_id="acme", changes={"max_devices": cap})
    drivers = [engine.drive(f"phone-{number}", target=target) for number in range(6)]
    taken = []
    while batch := engine.run_batch(drivers[0]):
        taken.append(len(batch.jobs))
    assert taken == sizes


@pytest.mark.parametrize("other", ["quarantined", "drains", "lost", "lost for long", "of others"])
def test_a_device_leaves_no_share_to_one_that_takes_nothing(engine: Engine, other: str) -> None:
    engine.submit(*(f"{number}.js" for number in range(10)))
    driver, second = engine.drive("phone-1"), engine.drive("phone-2")
    assert len(engine.claim(driver).jobs) == 5, "both may come"
    engine.release(engine.claim(driver).lease)
    take_away(engine, second, other.removesuffix(" for long"))
    if other == "lost for long":
        engine.call("housekeep")
        assert engine.value("select ended_at is not null from qgjob.worker where worker_id = %s", second.worker_id)
    assert len(engine.claim(driver).jobs) == 10


def test_a_batch_is_no_bigger_than_the_device_asks_for(engine: Engine) -> None:
    engine.submit(*(f"{number}.js" for number in range(100)))
    assert len(engine.claim(engine.drive("phone-1"), max_jobs=3).jobs) == 3
    assert len(engine.claim(engine.drive("phone-2")).jobs) == 20


def test_jobs_are_handed_out_by_priority_and_age_whatever_the_batch(engine: Engine) -> None:
    others = [f"{number}.js" for number in range(3, 9)]
    engine.submit(*others, {"test_path": "1.js", "priority": "urgent"}, {"test_path": "2.js", "priority": "high"})
    one = engine.drive("phone-1")
    engine.drive("phone-2")
    assert paths(engine.claim(one)) == ["1.js", "2.js", "3.js", "4.js"]


def served(engine: Engine, driver: Driver, claims: int) -> list[str]:
    orgs = []
    for _ in range(claims):
        batch = engine.claim(driver, max_jobs=1)
        orgs.append(batch.org_id)
        engine.start(batch.lease, batch.jobs[0]["job_id"])
        engine.move_clock(30)
        engine.finish(batch.lease, batch.jobs[0]["job_id"])
        engine.release(batch.lease)
    return orgs


def test_an_organisation_with_many_groups_does_not_starve_another(engine: Engine) -> None:
    for number in range(10):
        engine.submit("a.js", build=f"v{number}", org="big", defaults={"priority": "urgent"})
    engine.submit("a.js", build="v1", org="small", defaults={"priority": "low"})
    engine.submit("a.js", build="v2", org="small", defaults={"priority": "low"})
    assert served(engine, engine.drive(), 4).count("small") == 2


def test_the_organisation_with_fewer_devices_at_work_goes_first(engine: Engine) -> None:
    for number in range(4):
        engine.submit("a.js", build=f"v{number}", org="big")
    claimed = [engine.claim(engine.drive(f"phone-{number}")).org_id for number in range(3)]
    engine.submit("a.js", build="v1", org="small", defaults={"priority": "low"})
    claimed.append(engine.claim(engine.drive("phone-9")).org_id)
    assert claimed == ["big", "big", "big", "small"]


def test_a_draining_worker_gets_nothing(engine: Engine) -> None:
    engine.submit("a.js")
    driver = engine.drive()
    assert engine.call("drain_worker", worker_id=driver.worker_id).status == "draining"
    assert engine.claim(driver) is None
    assert engine.call("heartbeat", worker_id=driver.worker_id).draining
    assert engine.claim(engine.drive("phone-2"))


def test_a_repeated_claim_gets_the_same_batch(engine: Engine) -> None:
    engine.submit("a.js", "b.js", "c.js")
    driver = engine.drive()
    assert engine.claim(driver) == engine.claim(driver)
    assert engine.value("select count(*) from qgjob.batch") == 1


def test_a_batch_that_was_cancelled_meanwhile_ends_with_the_next_claim(engine: Engine) -> None:
    run = engine.submit("a.js")
    driver = engine.drive()
    engine.claim(driver)
    engine.call("cancel_run", run_id=run.run_id)
    assert engine.claim(driver) is None
    engine.submit("b.js")
    assert [job["test_path"] for job in engine.claim(driver).jobs] == ["b.js"]


def test_a_device_that_is_at_work_gets_no_second_batch(engine: Engine) -> None:
    run = engine.submit("a.js", "b.js", "c.js", "d.js")
    driver = engine.drive()
    batch = engine.claim(driver)
    engine.call("record_install", lease=batch.lease)
    with refused("device_holds_one_live_batch"):
        engine.claim(driver)
    engine.release(batch.lease)
    batch = engine.claim(driver)
    engine.start(batch.lease, run.job_ids[0])
    with refused("device_holds_one_live_batch"):
        engine.claim(driver)
    engine.finish(batch.lease, run.job_ids[0])
    with refused("device_holds_one_live_batch"):
        engine.claim(driver)


def test_only_the_worker_that_drives_a_device_claims_for_it(engine: Engine) -> None:
    engine.submit("a.js")
    one, other = engine.drive("phone-1"), engine.drive("phone-2")
    with refused("device_has_one_worker"):
        engine.claim(Driver(one.worker_id, other.device_id))
    with refused("device_has_one_worker"):
        engine.claim(Driver(one.worker_id, 10_000))
    with refused("worker_exists"):
        engine.claim(Driver(10_000, one.device_id))
    engine.call("end_worker", worker_id=one.worker_id)
    with refused("worker_is_alive"):
        engine.claim(one)


def test_an_idle_device_is_told_of_work_for_its_target_once(engine: Engine) -> None:
    with engine.hinted() as hints:
        assert engine.claim(engine.drive("phone-1")) is None
        assert engine.claim(engine.drive("phone-2")) is None
        engine.submit({"test_path": "a.js", "target": "device"})
        engine.submit("a.js")
        engine.submit("b.js")
    assert hints == ["emulator"]


@pytest.mark.parametrize("what", ["the last of its group leaves", "a place comes free", "there are more places"])
def test_an_idle_device_is_told_of_what_it_may_take_now(engine: Engine, what: str) -> None:
    if what == "the last of its group leaves":
        engine.submit("a.js", "b.js", "c.js")
        engine.rows("insert into qgjob.install_timing values ('acme', 'emulator', 60) returning 1")
    else:
        engine.submit("a.js")
        engine.submit("b.js", build="v2")
        engine.call("change_org", org_id="acme", changes={"max_devices": 1})
    busy, idle = engine.drive("phone-1"), engine.drive("phone-2")
    engine.run_batch(busy, max_jobs=2)
    assert engine.claim(idle) is None
    with engine.hinted() as hints:
        if what == "there are more places":
            engine.call("change_org", org_id="acme", changes={"max_devices": 2})
        else:
            engine.call("end_worker", worker_id=busy.worker_id)
    assert hints == ["emulator"]
    assert engine.claim(idle)


@pytest.mark.parametrize("limited", [False, True])
def test_idle_devices_of_a_cloud_are_not_told_of_every_end_of_a_batch(engine: Engine, *, limited: bool) -> None:
    engine.submit(*({"test_path": f"{number}.js", "target": "browserstack", "selector": {"platform": "android"}}
                    for number in range(40)))  # fmt: skip
    if limited:
        engine.call("change_org", org_id="acme", changes={"max_devices": 1})
    busy = engine.drive("android", target="browserstack", platform="android")
    assert engine.claim(engine.drive("ios", target="browserstack", platform="ios")) is None
    for _ in range(3):
        assert engine.run_batch(busy, max_jobs=2)
    assert engine.value("select count(*) from qgjob.waiting_device") == 1


def test_a_group_with_nothing_pending_is_no_longer_looked_at(engine: Engine) -> None:
    engine.submit("a.js")
    engine.claim(engine.drive())
    assert engine.value("select head_priority from qgjob.job_group") is None


def test_a_joined_job_that_goes_back_has_the_higher_priority(engine: Engine) -> None:
    first = engine.submit({"test_path": "a.js", "priority": "low"})
    batch = engine.claim(engine.drive())
    engine.submit({"test_path": "a.js", "priority": "urgent"})
    engine.release(batch.lease)
    assert engine.job(first.job_ids[0]).priority == "urgent"
    assert engine.value("select head_priority from qgjob.job_group") == 3


def test_a_device_that_is_at_work_counts_at_once(engine: Engine) -> None:
    for org in ("big", "small"):
        for build in ("v1", "v2", "v3"):
            engine.submit("a.js", build=build, org=org)
    claimed = [engine.claim(engine.drive(f"phone-{number}")).org_id for number in range(6)]
    assert claimed.count("big") == claimed[:4].count("big") + 1 == 3


def test_a_group_whose_urgent_job_was_cancelled_is_not_urgent(engine: Engine) -> None:
    engine.submit("low.js", build="v1", defaults={"priority": "low"})
    engine.submit("normal.js", build="v2")
    (urgent,) = engine.submit("urgent.js", build="v1", defaults={"priority": "urgent"}).job_ids
    engine.call("cancel_job", job_id=urgent)
    assert engine.claim(engine.drive()).jobs[0]["test_path"] == "normal.js"


def test_a_device_that_goes_on_with_its_group_ends_its_batch_by_claiming(engine: Engine) -> None:
    engine.submit("a.js", "b.js", "c.js")
    driver = engine.drive()
    first = engine.run_batch(driver, max_jobs=1)
    engine.rows("update qgjob.batch set claimed_at = claimed_at - interval '40 s' returning 1")
    second = engine.run_batch(driver, max_jobs=1)
    assert (second.install, second.epoch) == (False, first.epoch + 1)
    before, after = engine.rows("select end_reason, claimed_at, ended_at from qgjob.batch order by batch_id")
    assert (before.end_reason, after.end_reason) == ("done", None)
    assert before.ended_at <= after.claimed_at
    assert engine.value("select round(pass) from qgjob.lane") == 40, "for all the seconds that it held the device"
    assert engine.value("select devices from qgjob.job_group") == 1
    engine.run_batch(driver, max_jobs=1)
    assert engine.claim(driver) is None
    assert engine.value("select devices from qgjob.job_group") == 0
    assert engine.value("select count(*) from qgjob.batch where end_reason = 'done'") == 3


def test_a_device_that_goes_on_takes_as_much_as_one_that_comes(engine: Engine) -> None:
    engine.submit(*(f"{number}.js" for number in range(40)))
    one, two = engine.drive("phone-1"), engine.drive("phone-2")
    sizes = [len(engine.run_batch(driver, max_jobs=20).jobs) for driver in (one, two, one, two, one, two)]
    assert sizes == [40 // 2, 20 // 2, 10 // 2, 5 // 2, 3 // 2, 2 // 2]


def test_a_device_that_is_not_to_go_on_ends_its_batch_all_the_same(engine: Engine) -> None:
    """Its worker drains, it is quarantined, the organisation may have fewer devices now, or its next jobs are taken."""
    drivers = [engine.drive(f"phone-{number}") for number in range(4)]
    engine.submit(*(f"{number}.js" for number in range(9)))
    for driver in drivers:
        engine.run_batch(driver, max_jobs=1)
    engine.call("drain_worker", worker_id=drivers[0].worker_id)
    engine.call("quarantine_device", device_id=drivers[1].device_id, reason="its screen is broken")
    assert [engine.claim(driver) for driver in drivers[:2]] == [None, None]
    engine.rows("update qgjob.org set max_devices = 1 returning 1")
    assert engine.claim(drivers[2]) is None
    assert engine.value("select devices from qgjob.job_group") == 1, "the last, which is the one that it may have"
    with engine.another() as other, other.connection.transaction():
        other.rows("select 1 from qgjob.job where status = 'pending' for no key update")
        assert engine.claim(drivers[3]) is None
    assert engine.value("select devices from qgjob.job_group") == 0
    assert engine.value("select count(*) from qgjob.batch where end_reason = 'done'") == 4
    assert engine.claim(drivers[3])


def test_a_device_that_goes_on_keeps_the_only_place_of_its_organisation(engine: Engine) -> None:
    engine.submit("a.js", "b.js", "c.js")
    engine.rows("update qgjob.org set max_devices = 1 returning 1")
    one, two = engine.drive("phone-1"), engine.drive("phone-2")
    engine.run_batch(one, max_jobs=1)
    assert engine.claim(two) is None
    assert engine.claim(one, max_jobs=1)


def test_a_device_of_a_cloud_installs_again_after_each_batch(engine: Engine) -> None:
    engine.submit({"test_path": "a.js", "target": "browserstack"}, {"test_path": "b.js", "target": "browserstack"})
    driver = engine.drive(target="browserstack")
    assert engine.run_batch(driver, max_jobs=1).install
    assert engine.claim(driver, max_jobs=1).install
