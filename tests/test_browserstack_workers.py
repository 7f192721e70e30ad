"""Worker processes on the stand-in: batches in sessions, the plan's limit, and sessions that end whatever happens."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from browserstack import KEY, USER, BrowserStack, Refusal, hub_error
from engine import Engine
from invariants import assert_all
from processes import Services
from sessions import app, options, plugin, stored

from qgjob.children import Child, wait_until

CLOUD = {"target": "browserstack"}


@pytest.fixture
def cloud() -> Iterator[BrowserStack]:
    with BrowserStack() as cloud:
        yield cloud


@pytest.fixture
def environment(cloud: BrowserStack, tmp_path: Path, engine: Engine) -> dict[str, str]:
    """Of workers; the build v1 is registered."""
    app(engine, tmp_path)
    return cloud.environment | plugin(tmp_path)


def submit(engine: Engine, *paths: str) -> int:
    return int(engine.submit(*paths, defaults=CLOUD).run_id)


def ended(engine: Engine, run_id: int, seconds: float = 60) -> bool:
    return wait_until(lambda: engine.run(run_id).finished_at is not None, seconds)


def test_a_batch_is_one_session_with_a_verdict_and_a_video(
    engine: Engine, services: Services, cloud: BrowserStack, environment: dict[str, str]
) -> None:
    run_id = submit(engine, "tests/a.spec.js", "tests/b-fail.spec.js", "tests/c.spec.js")
    worker = services.worker("cloud", *options(cloud), "--burst", **environment)
    assert ended(engine, run_id)
    assert worker.process.wait(30) == 0, worker.last_lines()
    (session,) = cloud.sessions
    assert (session.status, session.reason) == ("done", "CLIENT_STOPPED_SESSION")
    assert session.marked == {"status": "failed", "reason": "1 of 3 specs failed"}
    assert len(session.annotations) == 6
    assert "tests/b-fail.spec.js: test" in session.annotations
    assert len(cloud.uploads) == 1
    rows = engine.rows("select video_url, video_offset_s, started_at from reporting.attempts order by started_at")
    assert [row.video_url for row in rows] == [session.shown()["automation_session"]["video_url"]] * 3
    first, *others = rows
    for row in others:  # in the video as on the clock
        passed = (row.started_at - first.started_at).total_seconds()
        assert row.video_offset_s - first.video_offset_s == pytest.approx(passed, abs=0.001)
    assert engine.row("select session_id, end_reason, prepared_at > claimed_at from qgjob.batch") == (
        session.id, "done", True)  # fmt: skip
    assert_all(engine)


def test_workers_together_never_have_more_sessions_than_the_plan_leaves_them(
    engine: Engine, services: Services, cloud: BrowserStack, environment: dict[str, str], tmp_path: Path
) -> None:
    cloud.allowed = 3
    for number in range(8):
        app(engine, tmp_path, build=f"w{number}")
    runs = [
        engine.submit("a.spec.js", "b.spec.js", "c.spec.js", build=f"w{number}", defaults=CLOUD).run_id
        for number in range(8)
    ]
    with cloud.used_by_others(1):
        for name in ("one", "two"):
            services.worker(name, *options(cloud, devices=3), **environment)
        assert all(ended(engine, run_id, 120) for run_id in runs)
    assert (cloud.most_running, cloud.queued_ever, cloud.refused) == (3, 0, 0)
    assert engine.row("select count(*), sum(losses + attempts) from qgjob.job where status = 'completed'") == (24, 24)
    assert engine.value("select count(*) from qgjob.batch where end_reason = 'busy'") > 0, "there was need to wait"
    assert len(cloud.uploads) == 1
    assert wait_until(lambda: not cloud.running(), 30)
    assert_all(engine)


def test_jobs_wait_unharmed_while_the_cloud_is_busy_or_down(
    engine: Engine, services: Services, cloud: BrowserStack, environment: dict[str, str]
) -> None:
    cloud.next_session_fails = [
        hub_error(500, "unknown error", "[BROWSERSTACK_TIER_LIMIT_EXCEEDED] Tier limit exceeded for device 'X'."),
        Refusal(502, "Bad Gateway"),
    ]
    with cloud.used_by_others(5):
        run_id = submit(engine, "a.spec.js", "b.spec.js")
        services.worker("cloud", *options(cloud), **environment)
        assert wait_until(lambda: engine.value("select count(*) from qgjob.batch where end_reason = 'busy'") > 0, 30)
        assert cloud.sessions == []
    assert ended(engine, run_id)
    assert engine.row(
        "select count(*), sum(attempts) as attempts, sum(losses) as losses from qgjob.job where status = 'completed'"
    ) == (
        2,
        2,
        0,
    )
    assert cloud.next_session_fails == []


def test_a_session_lost_in_a_test_is_infrastructure_and_the_rest_runs_elsewhere(
    engine: Engine, services: Services, cloud: BrowserStack, environment: dict[str, str]
) -> None:
    run_id = submit(engine, "a.spec.js", "b.spec.js", "c.spec.js")
    services.worker("cloud", *options(cloud, duration_s=1), **environment)
    assert wait_until(lambda: engine.run(run_id).running == 1, 30)
    cloud.end(cloud.running()[0], "BROWSERSTACK_SESSION_LIMIT_REACHED")
    assert ended(engine, run_id)
    assert engine.run(run_id).completed == 3
    (lost,) = engine.rows("select failure_kind, message from qgjob.attempt where status = 'failed'")
    assert lost.failure_kind == "infrastructure"
    assert "BROWSERSTACK_SESSION_LIMIT_REACHED" in lost.message
    assert len(cloud.sessions) == 2
    assert engine.value("select count(*) from qgjob.job where flaky") == 0
    assert wait_until(lambda: not cloud.running(), 30)


def test_what_does_not_fit_into_a_session_goes_into_the_next(
    engine: Engine, services: Services, cloud: BrowserStack, environment: dict[str, str]
) -> None:
    run_id = submit(engine, *(f"{number}.spec.js" for number in range(6)))
    engine.rows("update qgjob.job set predicted_s = 0.01 returning 1")  # wrongly: each takes a second
    services.worker("cloud", *options(cloud, duration_s=1, max_session_s=2), **environment)
    assert ended(engine, run_id)
    assert engine.row(
        "select sum(attempts) as attempts, sum(losses) as losses from qgjob.job where status = 'completed'"
    ) == (6, 0)
    assert len(cloud.sessions) > 1
    assert wait_until(lambda: not cloud.running(), 30)


def hanging(engine: Engine, services: Services, cloud: BrowserStack, environment: dict[str, str]) -> tuple[Child, int]:
    """A worker in the middle of a test that never ends, with another one behind it."""
    run_id = submit(engine, "tests/a-hang.spec.js", "tests/b.spec.js")
    worker = services.worker("cloud", *options(cloud, idle_timeout_s=2), **environment)
    assert wait_until(lambda: engine.run(run_id).running == 1 or engine.run(run_id).completed == 1, 30)
    assert wait_until(
        lambda: bool(engine.rows("select from qgjob.job where status = 'running' and test_path ~ 'hang'")), 30
    )
    assert len(cloud.running()) == 1
    return worker, run_id


def test_a_cancelled_run_ends_its_session(
    engine: Engine, services: Services, cloud: BrowserStack, environment: dict[str, str]
) -> None:
    _, run_id = hanging(engine, services, cloud, environment)
    engine.call("cancel_run", run_id=run_id)
    assert ended(engine, run_id, 30)
    assert wait_until(lambda: cloud.sessions[0].reason == "CLIENT_STOPPED_SESSION", 30)


def test_a_worker_that_is_told_twice_to_leave_ends_its_session(
    engine: Engine, services: Services, cloud: BrowserStack, environment: dict[str, str]
) -> None:
    worker, run_id = hanging(engine, services, cloud, environment)
    worker.process.send_signal(signal.SIGTERM)
    assert wait_until(lambda: "draining" in worker.last_lines(), 30)
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(30) == 0, worker.last_lines()
    (session,) = cloud.sessions
    assert session.reason == "CLIENT_STOPPED_SESSION"
    assert session.marked["status"] == "failed"
    assert engine.run(run_id).pending >= 1
    assert engine.value("select sum(losses) from qgjob.job") == 0


def test_a_worker_that_drains_finishes_its_test_and_ends_its_session(
    engine: Engine, services: Services, cloud: BrowserStack, environment: dict[str, str]
) -> None:
    run_id = submit(engine, "a.spec.js", "b.spec.js")
    worker = services.worker("cloud", *options(cloud, duration_s=2), **environment)
    assert wait_until(lambda: engine.run(run_id).running == 1, 30)
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(30) == 0, worker.last_lines()
    assert (engine.run(run_id).completed, engine.run(run_id).pending) == (1, 1)
    assert cloud.sessions[0].reason == "CLIENT_STOPPED_SESSION"


def test_a_worker_that_leaves_while_its_session_opens_ends_it(
    engine: Engine, services: Services, cloud: BrowserStack, environment: dict[str, str]
) -> None:
    cloud.before_session.clear()
    run_id = submit(engine, "a.spec.js")
    worker = services.worker("cloud", *options(cloud), **environment)
    assert wait_until(lambda: cloud.asked("POST", "/wd/hub/session") == 1, 30)
    worker.process.send_signal(signal.SIGTERM)
    assert wait_until(lambda: "draining" in worker.last_lines(), 30)
    cloud.before_session.set()
    assert worker.process.wait(30) == 0, worker.last_lines()
    assert [session.reason for session in cloud.sessions] == ["CLIENT_STOPPED_SESSION"]
    assert (engine.run(run_id).pending, engine.value("select sum(losses) from qgjob.job")) == (1, 0)


def test_the_session_of_a_killed_worker_ends_by_itself(
    engine: Engine, services: Services, cloud: BrowserStack, environment: dict[str, str]
) -> None:
    worker, _ = hanging(engine, services, cloud, environment)
    worker.process.kill()
    assert wait_until(lambda: not cloud.running(), 30)
    assert cloud.sessions[0].reason == "BROWSERSTACK_IDLE_TIMEOUT"


def test_wrong_credentials_are_said_once_and_not_shown(
    services: Services, cloud: BrowserStack, environment: dict[str, str]
) -> None:
    wrong = environment | {"BROWSERSTACK_ACCESS_KEY": "not-the-key"}
    worker = services.start("cloud", "worker", *options(cloud), **wrong)
    assert worker.process.wait(30) == 2
    printed = worker.log.read_text()
    assert "error: BrowserStack refuses the credentials (HTTP 401); check BROWSERSTACK_USERNAME" in printed
    assert "Traceback" not in printed
    assert "not-the-key" not in printed


def test_credentials_are_nowhere_in_the_log_or_the_database(
    engine: Engine, services: Services, cloud: BrowserStack, environment: dict[str, str]
) -> None:
    """After everything that says much: refusals that repeat them, losses, failures."""
    said = f"{USER}:{KEY} {KEY}"
    cloud.next_session_fails = [
        hub_error(500, "session not created", f"device of {said} did not boot"),
        hub_error(401, "unknown error", f"who is {said}?"),
        Refusal(500, f"stack trace with {said}"),
    ]
    run_id = submit(engine, "tests/a-fail.spec.js", "tests/b.spec.js", "tests/c-timeout.spec.js")
    worker = services.worker("cloud", *options(cloud, duration_s=0.5), PYTHONDEVMODE="1", **environment)
    assert wait_until(lambda: engine.run(run_id).running == 1, 60)
    cloud.end(cloud.running()[0], "BROWSERSTACK_IDLE_TIMEOUT")
    assert wait_until(lambda: engine.rows("select from qgjob.device where strikes = 3"), 60)
    engine.call("readmit_device", device_id=engine.value("select device_id from qgjob.device"))
    assert ended(engine, run_id)
    worker.process.send_signal(signal.SIGTERM)
    worker.process.wait(30)
    kept = stored(engine)
    assert cloud.sessions[0].id in kept
    for secret in (KEY, USER):
        assert secret not in worker.log.read_text()
        assert secret not in kept
