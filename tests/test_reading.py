"""What the reading side says about jobs, runs, groups, devices and workers."""

import pytest
from engine import Engine, refused
from invariants import assert_all
from psycopg.types.json import Jsonb


def ids(rows: list[tuple[int]]) -> list[int]:
    return [job_id for (job_id,) in rows]


def list_jobs(engine: Engine, arguments: str, *values: object) -> list[int]:
    return ids(engine.rows(f"select job_id from qgjob.list_jobs({arguments})", *values))


def test_jobs_are_listed_newest_first_and_page_by_page(engine: Engine) -> None:
    newest_first = sorted(engine.submit(*(f"{number}.js" for number in range(5))).job_ids, reverse=True)
    first = list_jobs(engine, "p_limit => 2")
    second = list_jobs(engine, "p_limit => 2, p_cursor => %s", first[-1])
    third = list_jobs(engine, "p_limit => 2, p_cursor => %s", second[-1])
    assert first + second + third == newest_first


def test_every_filter_of_jobs_filters(engine: Engine) -> None:
    run = engine.submit("a.js", "b.js")
    (device,) = engine.submit({"test_path": "c.js", "target": "device"}, build="v2").job_ids
    (other,) = engine.submit("a.js", org="globex").job_ids
    engine.call("cancel_job", job_id=run.job_ids[0])
    assert list_jobs(engine, "p_org_id => 'globex'") == [other]
    assert list_jobs(engine, "p_status => '{cancelled,failed}'") == [run.job_ids[0]]
    assert list_jobs(engine, "p_target => 'device'") == [device]
    assert list_jobs(engine, "p_app_version_id => 'v2'") == [device]
    assert list_jobs(engine, "p_run_id => %s", run.run_id) == run.job_ids[::-1]
    assert list_jobs(engine, "p_since => qgjob.now() + interval '1 hour'") == []
    assert list_jobs(engine, "p_test => 'b.js'") == [run.job_ids[1]]
    assert list_jobs(engine, "p_org_id => 'acme', p_status => '{pending}', p_target => 'emulator'") == [run.job_ids[1]]


@pytest.mark.parametrize(
    ("glob", "matching"),
    [
        ("tests/*.js", ["tests/a.js"]),
        ("tests/**/*.js", ["tests/a.js", "tests/deep/er/b+c.js"]),
        ("**/b*", ["tests/deep/er/b+c.js"]),
        ("tests/**", ["tests/a.js", "tests/deep/er/b+c.js", "tests/[id] (1).ts"]),
        ("tests/?.js", ["tests/a.js"]),
        ("tests/deep/er/b+c.js", ["tests/deep/er/b+c.js"]),
        ("tests/deep/er/b+?.js", ["tests/deep/er/b+c.js"]),
        ("tests/[id] (1).*", ["tests/[id] (1).ts"]),
        ("a.js", []),
        ("tests", []),
        ("tests/[", []),
        ("tests/?js", []),
        ("*\\d", []),
        ("**/\x01", []),
    ],
)
def test_a_glob_finds_the_paths_that_it_stands_for(engine: Engine, glob: str, matching: list[str]) -> None:
    engine.submit("tests/a.js", "tests/deep/er/b+c.js", "tests/[id] (1).ts")
    found = engine.rows("select test_path from qgjob.list_jobs(p_test => %s) order by job_id", glob)
    assert [one.test_path for one in found] == matching


def test_runs_are_found_by_all_of_the_labels_that_are_named(engine: Engine) -> None:
    main = engine.submit("a.js", labels={"branch": "main", "pr": "7"}).run_id
    other = engine.submit("a.js", labels={"branch": "other", "pr": "7"}).run_id
    engine.submit("a.js")

    def found(**labels: str) -> list[int]:
        return ids(engine.rows("select run_id from qgjob.list_runs('acme', p_labels => %s)", Jsonb(labels)))

    assert found(pr="7") == [other, main]
    assert found(pr="7", branch="main") == [main]
    assert found(branch="mai") == []


def test_runs_are_listed_newest_first_of_one_organisation(engine: Engine) -> None:
    runs = [engine.submit(f"{number}.js", build=f"v{number}").run_id for number in range(3)]
    engine.submit("a.js", org="globex")
    assert ids(engine.rows("select run_id from qgjob.list_runs('acme', p_limit => 2)")) == runs[:0:-1]
    assert ids(engine.rows("select run_id from qgjob.list_runs('acme', p_cursor => %s)", runs[1])) == runs[:1]
    assert ids(engine.rows("select run_id from qgjob.list_runs('acme', p_app_version_id => 'v1')")) == [runs[1]]


def test_a_run_has_its_own_jobs_only_where_others_took_numbers_between_them(engine: Engine) -> None:
    """Two submissions at the same moment take theirs in turns."""
    runs = [engine.submit(f"{n}.js", f"{n + 1}.js", org=org) for n in range(3) for org in ("acme", "globex")]
    engine.connection.execute("update qgjob.run set first_job_id = 1, last_job_id = 100")
    for run in runs:
        assert list_jobs(engine, "p_run_id => %s", run.run_id) == sorted(run.job_ids, reverse=True)
        assert engine.run(run.run_id).pending == 2
    engine.run_all(engine.drive())
    assert {engine.run(run.run_id).completed for run in runs} == {2}
    assert_all(engine)


def test_nothing_of_another_organisation_is_shown(engine: Engine) -> None:
    run = engine.submit("a.js")
    engine.run_all(engine.drive())
    for function in ("get_job", "get_log", "list_attempts"):
        assert engine.call(function, job_id=run.job_ids[0], org_id="acme")
        with refused("job_exists"):
            engine.call(function, job_id=run.job_ids[0], org_id="globex")
    with refused("run_exists"):
        engine.call("get_run", run_id=run.run_id, org_id="globex")
    assert engine.rows("select from qgjob.list_groups('globex')") == []
    assert engine.call("get_stats", org_id="globex").jobs == 0


def test_a_run_counts_its_jobs_by_status_and_grows_with_every_change(engine: Engine) -> None:
    run = engine.submit(*(f"{name}.js" for name in "abcdefg"))
    seen = [engine.run(run.run_id).seq]

    def now() -> tuple[object, ...]:
        shown = engine.run(run.run_id)
        seen.append(shown.seq)
        counts = (shown.pending, shown.queued, shown.running, shown.completed, shown.failed, shown.cancelled)
        assert sum(counts) == shown.total == 7
        return (shown.status, *counts)

    assert engine.run(run.run_id).status == "pending"
    batch = engine.claim(engine.drive(), max_jobs=3)
    assert now() == ("running", 4, 3, 0, 0, 0, 0)
    first, second, _ = (job["job_id"] for job in batch.jobs)
    engine.start(batch.lease, first)
    assert now() == ("running", 4, 2, 1, 0, 0, 0)
    engine.finish(batch.lease, first)
    assert now() == ("running", 4, 2, 0, 1, 0, 0)
    engine.run_job(batch.lease, second, "failed", "test")
    assert now() == ("running", 4, 1, 0, 1, 1, 0)
    engine.release(batch.lease)
    assert now() == ("running", 5, 0, 0, 1, 1, 0)
    engine.call("cancel_run", run_id=run.run_id)
    assert now() == ("failed", 0, 0, 0, 1, 1, 5)
    assert seen == sorted(set(seen)), "whoever waits after a seq misses nothing"


def test_what_grouping_saved_is_told(engine: Engine) -> None:
    run = engine.submit("a.js", "b.js")
    batch = engine.claim(engine.drive(), max_jobs=2)
    engine.move_clock(30)
    engine.call("record_install", lease=batch.lease)
    engine.run_job(batch.lease, batch.jobs[0]["job_id"])
    engine.release(batch.lease)
    driver = engine.row("select worker_id, device_id from qgjob.device")
    batch = engine.call("claim_batch", worker_id=driver.worker_id, device_id=driver.device_id)
    engine.run_job(batch.lease, batch.jobs[0]["job_id"])
    shown, stats = engine.run(run.run_id), engine.call("get_stats", org_id="acme")
    assert (shown.attempts, shown.installs) == (stats.attempts, stats.installs) == (2, 1)
    assert shown.saved_s == pytest.approx(30, abs=5)
    assert stats.saved_s == pytest.approx(30, abs=5)
    assert (stats.jobs, stats.completed, stats.pass_rate, stats.runs) == (2, 2, 1.0, 1)


def test_what_was_saved_is_the_same_in_all_reports(engine: Engine) -> None:
    """Long installations where nothing was avoided say nothing of short ones where much was."""
    quick, slow = engine.drive("emulator"), engine.drive("phone", target="device", lease_s=3600)
    runs = [engine.submit(*(f"{number}.js" for number in range(11)))]
    runs += [engine.submit({"test_path": "a.js", "target": "device"}, build=f"v{build}") for build in range(3)]
    for driver, install_s in ((quick, 5), (slow, 60), (slow, 60), (slow, 60)):
        batch = engine.claim(driver)
        engine.move_clock(install_s)
        engine.call("record_install", lease=batch.lease)
        for job in batch.jobs:
            engine.run_job(batch.lease, job["job_id"])
        engine.release(batch.lease)
    stats = engine.call("get_stats", org_id="acme")
    assert stats.saved_s == pytest.approx(10 * 5, abs=2)
    assert sum(engine.run(run.run_id).saved_s for run in runs) == pytest.approx(stats.saved_s)
    assert engine.value("select sum(saved_s) from reporting.batches") == pytest.approx(stats.saved_s)


def test_a_lost_device_says_nothing_of_a_test_and_a_retry_nothing_of_its_wait(engine: Engine) -> None:
    retried, lost = engine.submit({"test_path": "a.js", "retries": 1}, "b.js").job_ids
    driver = engine.drive(lease_s=3600)
    engine.move_clock(2)
    for job_id, endings in ((retried, ("test", None)), (lost, ["infrastructure"] * 4)):
        for kind in endings:
            engine.rows("update qgjob.device set quarantined_at = null, quarantined_by = null, "
                        "quarantine_reason = null, strikes = 0 returning 1")  # fmt: skip
            batch = engine.claim(driver, max_jobs=1)
            assert [job["job_id"] for job in batch.jobs] == [job_id]
            engine.start(batch.lease, job_id)
            engine.move_clock(600)
            engine.finish(batch.lease, job_id, "failed" if kind else "completed", kind)
            engine.release(batch.lease)
    engine.submit("c.js", build="v2")
    engine.move_clock(7)
    batch = engine.claim(driver)
    engine.start(batch.lease, batch.jobs[0]["job_id"])
    stats = engine.call("get_stats", org_id="acme")
    assert (stats.completed, stats.failed, stats.pass_rate) == (1, 1, 1.0)
    assert (stats.wait_p50_s, stats.wait_p95_s) == (pytest.approx(7, abs=1), pytest.approx(7, abs=1))


def test_a_run_that_found_its_build_installed_saved_an_install_for_each_attempt(engine: Engine) -> None:
    driver = engine.drive()
    engine.submit("first.js")
    batch = engine.claim(driver)
    engine.move_clock(30)
    engine.call("record_install", lease=batch.lease)
    engine.run_job(batch.lease, batch.jobs[0]["job_id"])
    engine.release(batch.lease)
    run = engine.submit("a.js", "b.js")
    engine.run_all(driver)
    shown = engine.run(run.run_id)
    assert (shown.attempts, shown.installs) == (2, 0)
    assert shown.saved_s == pytest.approx(60, abs=5)


def test_groups_are_listed_by_their_best_job(engine: Engine) -> None:
    engine.submit("a.js", build="v1")
    engine.submit("a.js", build="v2", defaults={"priority": "high"})
    engine.submit("b.js", "c.js", build="v1")
    listed = engine.rows("select app_version_id, priority, pending, queued, devices from qgjob.list_groups('acme')")
    assert listed == [("v2", "high", 1, 0, 0), ("v1", "normal", 3, 0, 0)]
    engine.claim(engine.drive())
    assert engine.rows("select app_version_id, pending, queued, devices from qgjob.list_groups()")[0] == ("v2", 0, 1, 1)


def test_devices_and_workers_are_listed_with_what_they_do(engine: Engine) -> None:
    engine.submit("a.js")
    busy = engine.drive("phone-1")
    engine.claim(busy)
    engine.drive("phone-2")
    engine.drive("phone-3", "device")
    gone = engine.drive("phone-4")
    engine.call("end_worker", worker_id=gone.worker_id)
    devices = engine.rows("select name, status from qgjob.list_devices()")
    assert devices == [("phone-3", "idle"), ("phone-1", "busy"), ("phone-2", "idle"), ("phone-4", "offline")]
    assert engine.rows("select name from qgjob.list_devices('device')") == [("phone-3",)]
    engine.move_clock(31)
    engine.call("heartbeat", worker_id=busy.worker_id)
    workers = engine.rows("select name, status, devices from qgjob.list_workers()")
    assert workers == [
        ("of phone-1", "live", 1),
        ("of phone-2", "lost", 1),
        ("of phone-3", "lost", 1),
        ("of phone-4", "ended", 0),
    ]
    assert engine.rows("select name, status from qgjob.list_devices('emulator')")[1] == ("phone-2", "offline")


def test_workers_and_devices_that_are_gone_for_a_day_are_not_listed_unless_all_are(engine: Engine) -> None:
    here = engine.drive("here", lease_s=3600)
    gone, lost, unplugged = (engine.drive(name) for name in ("gone", "lost", "unplugged"))
    engine.call("end_worker", worker_id=gone.worker_id)
    engine.call("release_device", worker_id=unplugged.worker_id, device_id=unplugged.device_id)

    def listed(**options: bool) -> list[list[str]]:
        answers = (engine.rows(f"select name from qgjob.{of}(p_all => %s)", options.get("all", False))
                   for of in ("list_workers", "list_devices"))  # fmt: skip
        return [sorted(one.name.removeprefix("of ") for one in answer) for answer in answers]

    everything = [["gone", "here", "lost", "unplugged"]] * 2
    engine.move_clock(80_000)
    for driver in (here, unplugged):
        engine.call("heartbeat", worker_id=driver.worker_id)
    assert listed() == everything, "a day has not passed"
    engine.move_clock(10_000)
    assert listed() == [["here", "unplugged"], ["here"]]
    assert listed(all=True) == everything
    assert engine.rows("select name from reporting.workers order by 1") == [("of here",), ("of unplugged",)]
    assert engine.call("list_workers", worker_id=gone.worker_id).status == "ended"
    assert engine.call("list_devices", device_id=lost.device_id).status == "offline"
    engine.call("register_device", worker_id=here.worker_id, name="unplugged", target="emulator")
    assert listed()[1] == ["here", "unplugged"]


def test_health_is_degraded_while_jobs_wait_for_a_target_that_nobody_drives(engine: Engine) -> None:
    engine.submit({"test_path": "a.js", "target": "device"})
    engine.drive("phone-1", "emulator")
    health = engine.call("get_health")
    assert (health.status, health.unserved) == ("degraded", ["device"])
    assert health.live_workers == {"emulator": 1, "device": 0, "browserstack": 0}
    engine.drive("phone-2", "device")
    assert engine.call("get_health").status == "ok"


def test_a_watched_run_announces_its_changes_and_an_unwatched_one_does_not(engine: Engine) -> None:
    watched, other = engine.submit("a.js"), engine.submit("b.js")
    with engine.another() as listener:
        listener.connection.execute("listen qgjob_run")
        engine.call("watch_runs", run_ids=[watched.run_id])
        engine.call("cancel_run", run_id=other.run_id)
        engine.run_all(engine.drive())
        listener.connection.execute("select 1")
        heard = {note.payload for note in listener.connection.notifies(timeout=0)}
    assert heard == {str(watched.run_id)}
