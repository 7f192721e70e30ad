"""What a run tells of its failures: the worst first, each with the attempt that shows why."""

from engine import Engine, refused
from psycopg.types.json import Jsonb


def failures(engine: Engine, run_id: int, **options: object) -> list[object]:
    return engine.rows(
        "select * from qgjob.list_failures(p_run_id => %s, p_limit => %s)", run_id, options.get("limit", 100)
    )


def test_failures_come_first_each_with_the_attempt_that_failed_last(engine: Engine) -> None:
    run = engine.submit(
        {"test_path": "a-flaky.js", "retries": 1}, {"test_path": "z-fail.js", "retries": 1}, "passes.js", "cancelled.js"
    )
    flaky, failing, passing, unwanted = run.job_ids
    driver = engine.drive("lab-1")
    engine.call("cancel_job", job_id=unwanted)
    for number in (1, 2):
        while batch := engine.claim(driver):
            for job in batch.jobs:
                job_id = job["job_id"]
                engine.start(batch.lease, job_id)
                tests = [{"title": "first", "status": "passed", "line": 1}]
                tests += [{"title": "second", "status": "failed", "line": 10 + number, "message": "no"}]
                if job_id == passing or (job_id == flaky and job["attempt"] == 2):
                    engine.finish(batch.lease, job_id)
                else:
                    message = f"Expected: 1\nattempt {job['attempt']}"
                    engine.finish(
                        batch.lease, job_id, "failed", "test", message=message, tests=Jsonb(tests), log="what it said"
                    )
            engine.release(batch.lease)
    found = failures(engine, run.run_id)
    assert [(one.test_path, one.verdict, one.attempts) for one in found] == [
        ("z-fail.js", "failed", 2),
        ("cancelled.js", "cancelled", 0),
        ("a-flaky.js", "flaky", 2),
    ]
    assert (found[0].title, found[0].device, found[0].log_tail) == ("second", "lab-1", "what it said")
    assert found[0].line in (11, 12)
    assert found[0].message == "Expected: 1\nattempt 2"
    assert found[2].message == "Expected: 1\nattempt 1"
    assert [one.job_id for one in failures(engine, run.run_id, limit=1)] == [failing]


def test_a_line_that_is_none_is_none(engine: Engine) -> None:
    for number, line in enumerate((-1, 0, 1e30, "7; drop", None, [1], {"a": 1}, True)):
        run = engine.submit(f"{number}.js")
        batch = engine.claim(engine.drive(f"d{number}"))
        engine.start(batch.lease, run.job_ids[0])
        tests = Jsonb([{"title": "t", "status": "failed", "line": line}])
        engine.finish(batch.lease, run.job_ids[0], "failed", "test", tests=tests)
        engine.release(batch.lease)
        assert failures(engine, run.run_id)[0].line is None, line


def test_tests_without_titles_and_lines_tell_nothing(engine: Engine) -> None:
    run = engine.submit("a.js")
    batch = engine.claim(engine.drive())
    engine.start(batch.lease, run.job_ids[0])
    tests = Jsonb([{}, {"status": 3}, {"title": 7, "line": "x"}])
    engine.finish(batch.lease, run.job_ids[0], "failed", "test", tests=tests)
    assert (failures(engine, run.run_id)[0].title, failures(engine, run.run_id)[0].line) == (None, None)


def test_what_was_left_to_another_run_counts_as_cancelled_and_is_retried(engine: Engine) -> None:
    run, other = engine.submit("a.js"), engine.submit("a.js")
    engine.call("cancel_run", run_id=run.run_id)
    assert [one.verdict for one in failures(engine, run.run_id)] == ["cancelled"]
    assert failures(engine, other.run_id) == []
    again = engine.call("retry_run", run_id=run.run_id)
    assert (again.total, again.deduplicated) == (1, 1)


def test_unserved_are_the_devices_that_nobody_drives(engine: Engine) -> None:
    run = engine.submit("a.js", {"test_path": "a.js", "target": "device", "selector": {"platform": "ios"}},
                        {"test_path": "b.js", "target": "device", "selector": {"platform": "ios"}})  # fmt: skip

    def unserved() -> list[object]:
        return engine.rows("select target, selector, jobs from qgjob.list_unserved(p_run_id => %s)", run.run_id)

    assert unserved() == [("device", {"platform": "ios"}, 2), ("emulator", {}, 1)]
    engine.drive("emulator-1")
    engine.drive("phone-1", target="device", platform="android")
    assert unserved() == [("device", {"platform": "ios"}, 2)]
    engine.drive("phone-2", target="device", platform="ios")
    assert unserved() == []
    engine.rows("update qgjob.worker set ended_at = qgjob.now() returning 1")
    assert len(unserved()) == 2
    engine.call("cancel_run", run_id=run.run_id)
    assert unserved() == []


def test_the_nearest_that_live_devices_have_is_told(engine: Engine) -> None:
    typo = {"platform": "andriod", "model": "Pixel 8"}
    wanted = {"test_path": "a.js", "target": "device", "selector": typo}
    run = engine.submit(wanted)

    def nearest() -> tuple[object, str]:
        found = engine.value("select nearest from qgjob.list_unserved(p_run_id => %s)", run.run_id)
        said = engine.call("get_why", job_id=run.job_ids[0]).reason
        assert said.startswith('No live worker drives a device for target device with {"model"')
        return found, said.partition("}. ")[2]

    engine.drive("emulator-1", platform="andriod")
    engine.drive("sold", "device", lease_s=1, platform="andriod")
    engine.rows("update qgjob.worker set ended_at = qgjob.now() where name = 'of sold' returning 1")
    assert nearest() == (None, "")
    engine.drive("bare", "device")
    assert nearest() == ({}, "Those that there are have no labels.")
    for number in range(2):
        engine.drive(f"iphone-{number}", "device", platform="ios", model="iPhone 15")
    assert nearest()[0] == {"platform": "ios", "model": "iPhone 15"}, "which most have of those that name as much"
    engine.drive("pixel", "device", platform="android", model="Pixel 8")
    as_text = '{"model": "Pixel 8", "platform": "android"}'
    assert nearest() == ({"platform": "android", "model": "Pixel 8"}, f"The nearest that there is has {as_text}.")
    engine.rows("update qgjob.device set org_ids = '{globex}' where name = 'pixel' returning 1")
    assert nearest()[0] == {"platform": "ios", "model": "iPhone 15"}, "not what serves others"


def test_a_run_is_found_by_the_key_it_was_submitted_with(engine: Engine) -> None:
    run = engine.submit("a.js", idempotency_key="k")
    engine.submit("a.js", org="globex", idempotency_key="k")
    find = "select run_id from qgjob.list_runs(p_org_id => %s, p_idempotency_key => %s)"
    assert engine.rows(find, "acme", "k") == [(run.run_id,)]
    assert engine.rows(find, "acme", "other") == []
    assert engine.rows(find, None, "k") == []


def test_nothing_is_told_of_other_organisations(engine: Engine) -> None:
    run = engine.submit("a.js")
    for function in ("list_failures", "list_waiting", "list_unserved"):
        with refused("run_exists"):
            engine.call(function, run_id=run.run_id, org_id="globex")
        with refused("run_exists"):
            engine.call(function, run_id=4711)
