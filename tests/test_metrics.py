"""/metrics says what happens, in Prometheus' own words, and never reads the backlog for it."""

from typing import Any
from urllib.request import urlopen

import pytest
from engine import Engine
from processes import Services
from prometheus_client.parser import text_string_to_metric_families
from test_plans import rows_read

from qgjob.children import wait_until


def scraped(url: str) -> dict[tuple[str, ...], float]:
    """Each sample by its name and the values of its labels."""
    with urlopen(f"{url}/metrics", timeout=30) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        text = answer.read().decode()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def counted(engine: Engine) -> Any:
    engine.call("sample_pending")
    return engine.call("get_metrics")


def test_what_waits_and_what_was_done_is_counted(engine: Engine) -> None:
    engine.submit("a.js", "b.js", {"test_path": "c.js", "target": "device"})
    before = counted(engine)
    assert (before.targets["emulator"]["pending"], before.targets["device"]["pending"]) == (2, 1)
    assert before.targets["device"]["oldest_s"] > 0
    assert before.targets["browserstack"] == {
        "pending": 0, "oldest_s": 0, "unserved_s": 0, "workers": 0, "idle": 0, "busy": 0, "quarantined": 0,
        "offline": 0}  # fmt: skip
    assert (before.claims, before.attempts, sum(before.buckets)) == (0, 0, 0)

    driver = engine.drive()
    batch = engine.claim(driver)
    engine.call("record_install", lease=batch.lease)
    assert counted(engine).targets["emulator"]["busy"] == 1
    for job in batch.jobs:
        engine.run_job(batch.lease, job["job_id"])
    engine.release(batch.lease)
    engine.run_all(driver)
    claims = engine.value("select count(*) from qgjob.batch")
    engine.submit("d.js")
    again = engine.claim(driver)
    engine.start(again.lease, again.jobs[0]["job_id"])
    engine.expire(again.lease)
    engine.call("housekeep")
    engine.call("quarantine_device", device_id=driver.device_id, reason="broken glass")
    after = counted(engine)
    assert (after.targets["emulator"]["busy"], after.targets["emulator"]["quarantined"]) == (0, 1)
    stats = engine.call("get_stats")
    # The last one was lost with its worker, and had found the build on the device.
    assert (after.claims, after.installs, after.attempts, after.avoided) == (claims + 1, 1, 3, 2)
    assert (stats.installs, stats.attempts, stats.installs_avoided) == (1, 3, 2)
    assert (after.expired, sum(after.buckets), len(after.buckets)) == (1, claims + 1, len(after.bounds) + 1)


@pytest.mark.parametrize("reason", ["unprepared", "unfetched", "refused"])
def test_attempts_that_never_ran_save_no_installation(engine: Engine, reason: str) -> None:
    run = engine.submit("a.js", "b.js")
    for number in range(4):
        if batch := engine.claim(engine.drive(f"phone-{number}")):
            engine.release(batch.lease, reason)
    after, stats = counted(engine), engine.call("get_stats")
    assert after.attempts == stats.attempts > 0
    assert (after.avoided, stats.installs_avoided, stats.saved_s) == (0, 0, 0)
    assert engine.value("select saved_s from reporting.runs where run_id = %s", run.run_id) == 0
    assert engine.value("select sum(avoided) from reporting.batches") == 0


def test_what_no_live_worker_can_run_is_told_although_some_drive_its_target(engine: Engine) -> None:
    engine.drive(platform="android")
    engine.submit("a.js", {"test_path": "b.js", "selector": {"platform": "ios"}})
    engine.move_clock(700)
    engine.drive("phone-2", platform="android")  # has been heard of just now
    now = counted(engine).targets["emulator"]
    assert (now["workers"], now["pending"]) == (1, 2)
    assert now["unserved_s"] >= 700
    engine.drive("phone-3", platform="ios")
    assert counted(engine).targets["emulator"]["unserved_s"] == 0


def test_a_pick_up_is_counted_by_how_long_the_oldest_job_had_waited(engine: Engine) -> None:
    engine.submit("a.js")
    engine.move_clock(45)
    engine.claim(engine.drive())
    now = counted(engine)
    assert [bound for bound, claims in zip(now.bounds, now.buckets, strict=False) if claims] == [60]


def test_reading_metrics_costs_the_same_whatever_waits(engine: Engine) -> None:
    engine.submit(*(f"{n}.js" for n in range(3000)))
    engine.call("sample_pending")
    _, read = rows_read(engine, lambda: engine.call("get_metrics"))
    assert sum(read.values()) < 100, read
    _, read = rows_read(engine, lambda: engine.call("sample_pending"))
    assert sum(read.values()) < 10, "the backlog was counted a moment ago"
    engine.move_clock(6)
    engine.submit("new.js")
    assert counted(engine).targets["emulator"]["pending"] == 3001


def test_prometheus_can_read_what_a_process_says(engine: Engine, services: Services) -> None:
    url = services.api()
    services.worker("lab", "--devices", "2", "--setting", "duration_s=0.01")
    done = services.qgjob("submit", "--org-id=acme", "--app-version-id=v1", "--test=tests/*login*", "--wait")
    assert done.returncode == 0, done.stderr
    engine.submit({"test_path": "x.js", "target": "device"})

    def told() -> bool:
        samples = scraped(url)
        # A device is idle when its batch has ended, which is after the last job of it.
        idle = samples.get(("qgjob_devices", "idle", "emulator"))
        return samples.get(("qgjob_pending_jobs", "device")) == 1 and idle == 2

    assert wait_until(told, 60)
    samples = scraped(url)
    assert samples[("qgjob_claims_total",)] > 0
    assert samples[("qgjob_pick_up_seconds_bucket", "+Inf")] >= 1
    assert samples[("qgjob_live_workers", "emulator")] == 1
    assert samples[("qgjob_installs_total",)] >= 1
    assert samples[("qgjob_oldest_pending_seconds", "device")] > 0
    assert samples[("qgjob_http_requests_total", "POST", "/runs", "201")] == 1
    assert samples[("qgjob_pool_connections", "idle")] >= 1
    assert ("qgjob_http_requests_total", "GET", "/metrics", "200") in samples
    urlopen(f"{url}/runs/1", timeout=30).close()
    assert ("qgjob_http_requests_total", "GET", "/runs/{run_id}", "200") in scraped(url)
