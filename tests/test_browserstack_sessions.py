"""A session a batch: what it is opened with, what a refusal costs, that it always ends, and what is kept of it."""

import asyncio
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from batches import batch as a_batch
from browserstack import ALL_IN_USE, USER, BrowserStack, Refusal, Session, hub_error
from engine import Engine
from guides import GUIDES, WORKER
from sessions import Here, app, here, run
from stand_in import StandIn, problem

from worker.__main__ import settings
from worker.batch import PrepareError
from worker.config import ConfigError
from worker.devices import Options, Recorder
from worker.devices.browserstack import BrowserStackParallels, api, parallels
from worker.devices.browserstack.settings import Settings, settings_of
from worker.webdriver import WebDriver, WebDriverError


@pytest.fixture
def cloud() -> Iterator[BrowserStack]:
    with BrowserStack() as cloud:
        yield cloud


@pytest.fixture
def batch(engine: Engine, tmp_path: Path) -> None:
    """One is there to be claimed."""
    app(engine, tmp_path)
    engine.submit("tests/a.spec.js", "tests/b.spec.js", defaults={"target": "browserstack"})


def with_session(url: str, cloud: BrowserStack, work: Any, **settings: Any) -> None:
    """`work` gets the worker, its batch, its session, and what the cloud knows of it."""

    async def wrapped() -> None:
        async with here(url, cloud, **settings) as worker:
            batch = await worker.claim()
            session = await worker.backend.open_session(batch)
            await work(worker, batch, session, cloud.sessions[-1])

    run(wrapped)


@pytest.mark.usefixtures("batch")
def test_a_session_says_what_to_install_where_and_under_which_name(database_url: str, cloud: BrowserStack) -> None:
    async def work(worker: Here, batch: Any, session: Any, remote: Session) -> None:
        assert remote.app == cloud.uploads[0].url
        assert remote.options == {
            "projectName": "shop",
            "buildName": "acme v1",
            "sessionName": f"cloud-1 batch {batch.lease}",
            "deviceName": "Pixel.*",
            "osVersion": "14",
            "geoLocation": "DE",
            "idleTimeout": 120,
            "networkLogs": True,
        }
        assert remote.capabilities["appium:noReset"] is True
        assert remote.capabilities["appium:language"] == "de"
        assert session.app_id == "com.example.shop"
        assert session.url == cloud.hub_url

    extra = {"appium:language": "de", "bstack:options": {"networkLogs": True}}
    with_session(
        database_url, cloud, work,
        device="Pixel.*", os_version="14", region="DE", project="shop", idle_timeout_s=120, capabilities=extra,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("platform", "answered"), [("android", "appium:autoGrantPermissions"), ("ios", "appium:autoAcceptAlerts")]
)
def test_what_the_system_asks_of_a_new_app_is_answered_as_appwright_answers_it(platform: Any, answered: str) -> None:
    for capabilities, answers in (({}, True), ({answered: False}, False)):
        settings = Settings(platform=platform, capabilities=capabilities)
        assert settings.of_session(a_batch("a.js"), "bs://1")[answered] is answers


@pytest.mark.usefixtures("batch")
def test_slots_carry_what_selectors_ask_for_and_are_no_more_than_the_plan(
    database_url: str, cloud: BrowserStack
) -> None:
    cloud.allowed = 3

    async def work() -> None:
        async with here(database_url, cloud, platform="ios", os_version="18", region="DE") as worker:
            options = Options("w", "browserstack", 5, {"team": "shop"}, cloud.settings, worker.engine)
            settings = dict(cloud.settings, platform="ios", os_version="18", region="DE")
            backend = BrowserStackParallels(Options("w", "browserstack", 5, options.labels, settings, worker.engine))
            slots = await anext(backend.watch())
            assert [slot.name for slot in slots] == ["w-1", "w-2", "w-3"]
            assert slots[0].labels == {"platform": "ios", "os_version": "18", "region": "DE", "team": "shop"}
            assert slots[0].max_batch_s == 6000
            await backend.close()

    with pytest.MonkeyPatch.context() as patched:
        for name, value in cloud.environment.items():
            patched.setenv(name, value)
        run(work)


@pytest.mark.usefixtures("batch")
def test_a_session_ends_with_a_status_a_reason_and_a_video(database_url: str, cloud: BrowserStack) -> None:
    async def work(worker: Here, batch: Any, session: Any, remote: Session) -> None:
        first, second = batch.jobs
        await worker.backend.begins(batch, first)
        await worker.backend.ended(batch, first, "completed")
        await worker.backend.begins(batch, second)
        await worker.backend.ended(batch, second, "test")
        video = await worker.backend.close_session(session, failed=False)
        assert (remote.status, remote.reason) == ("done", "CLIENT_STOPPED_SESSION")
        assert remote.marked == {"status": "failed", "reason": "1 of 2 specs failed"}
        assert remote.annotations == [
            "tests/a.spec.js: attempt 1 begins",
            "tests/a.spec.js: completed",
            "tests/b.spec.js: attempt 1 begins",
            "tests/b.spec.js: test",
        ]
        assert video
        assert video.startswith("https://")
        assert "token=" in video, "there is one only after the end"

    with_session(database_url, cloud, work)


@pytest.mark.usefixtures("batch")
def test_a_session_in_which_everything_passed_has_passed(database_url: str, cloud: BrowserStack) -> None:
    async def work(worker: Here, batch: Any, session: Any, remote: Session) -> None:
        assert isinstance(worker.backend, Recorder)
        await worker.backend.ended(batch, batch.jobs[0], "completed")
        await worker.backend.close_session(session, failed=False)
        assert remote.marked == {"status": "passed", "reason": "0 of 1 specs failed"}

    with_session(database_url, cloud, work)


@pytest.mark.usefixtures("batch")
def test_a_session_is_ended_also_where_the_hub_stumbles(
    database_url: str, cloud: BrowserStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallels, "END_PAUSES_S", (0.0,) * 3)
    cloud.next_end_fails = [Refusal(502, "Bad Gateway"), hub_error(500, "unknown error", "Please try again")]

    async def work(worker: Here, batch: Any, session: Any, remote: Session) -> None:
        assert await worker.backend.close_session(session, failed=False)
        assert (remote.status, remote.reason) == ("done", "CLIENT_STOPPED_SESSION")

    with_session(database_url, cloud, work)


@pytest.mark.usefixtures("batch")
def test_a_session_whose_end_was_cut_off_ends_with_the_worker(
    database_url: str, cloud: BrowserStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallels, "END_PAUSES_S", (60.0,))
    cloud.next_end_fails = [Refusal(502, "Bad Gateway")]

    async def work(worker: Here, batch: Any, session: Any, remote: Session) -> None:
        closing = asyncio.create_task(worker.backend.close_session(session, failed=False))
        while cloud.next_end_fails:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        closing.cancel()
        assert remote.running

    with_session(database_url, cloud, work)
    assert [session.reason for session in cloud.sessions] == ["CLIENT_STOPPED_SESSION"]


@pytest.mark.usefixtures("batch")
def test_a_slot_whose_session_has_ended_is_lost(database_url: str, cloud: BrowserStack) -> None:
    async def work(worker: Here, batch: Any, session: Any, remote: Session) -> None:
        assert await worker.backend.lost(batch.device) is None
        cloud.refuse(99)
        assert await worker.backend.lost(batch.device) is None, "the session may work nevertheless"
        cloud.refuse(0)
        cloud.end(remote, "BROWSERSTACK_SESSION_LIMIT_REACHED")
        lost = await worker.backend.lost(batch.device)
        assert lost == "The BrowserStack session has ended: BROWSERSTACK_SESSION_LIMIT_REACHED."
        assert await worker.backend.close_session(session, failed=True), "what has ended has a video, too"

    with_session(database_url, cloud, work)


@pytest.mark.parametrize(
    ("refusal", "blame", "words"),
    [
        (hub_error(500, "unknown error", ALL_IN_USE), "provider", "has no room: All parallel tests"),
        (
            hub_error(500, "unknown error", "[BROWSERSTACK_TIER_LIMIT_EXCEEDED] Tier limit exceeded for device 'X'."),
            "provider",
            "has no room: .*Tier limit exceeded",
        ),
        (Refusal(429, {"message": "Too many requests"}), "provider", "has no room"),
        (Refusal(502, "Bad Gateway"), "provider", "does not answer: .*HTTP 502"),
        (Refusal(500, {"value": {"message": ALL_IN_USE}, "status": 13}), "provider", "has no room"),
        (Refusal(500, {"value": ALL_IN_USE, "status": 13}), "provider", "has no room"),
        (hub_error(401, "unknown error", "Authorization required"), "config", "refuses the credentials"),
        (
            hub_error(500, "session not created", "Could not start UiAutomator2"),
            "device",
            "Could not start UiAutomator2",
        ),
    ],
)
@pytest.mark.usefixtures("batch")
def test_what_a_refused_session_means(
    database_url: str, cloud: BrowserStack, refusal: Refusal, blame: str, words: str
) -> None:
    cloud.next_session_fails = [refusal]

    async def work() -> None:
        async with here(database_url, cloud) as worker:
            with pytest.raises(PrepareError, match=words) as refused:
                await worker.backend.open_session(await worker.claim())
            assert refused.value.blame == blame

    run(work)


@pytest.mark.usefixtures("batch")
def test_a_session_that_others_leave_no_room_for_is_not_even_asked_for(database_url: str, cloud: BrowserStack) -> None:
    async def work() -> None:
        async with here(database_url, cloud) as worker:
            full = pytest.raises(PrepareError, match="All 5 parallel sessions")
            with cloud.used_by_others(5), full as refused:
                await worker.backend.open_session(await worker.claim())
            assert refused.value.blame == "provider"
            assert cloud.asked("POST", "/wd/hub/session") == 0

    run(work)


@pytest.mark.usefixtures("batch")
def test_a_session_that_was_cancelled_while_it_opened_is_ended(database_url: str, cloud: BrowserStack) -> None:
    async def work() -> None:
        async with here(database_url, cloud) as worker:
            cloud.before_session.clear()
            opening = asyncio.create_task(worker.backend.open_session(await worker.claim()))
            while not cloud.asked("POST", "/wd/hub/session"):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            opening.cancel()
            cloud.before_session.set()
            with pytest.raises(asyncio.CancelledError):
                await opening
            assert [session.running for session in cloud.sessions] == [False]

    run(work)


@pytest.mark.usefixtures("batch")
def test_a_session_that_nobody_closed_ends_before_the_next_of_its_slot_and_with_the_worker(
    database_url: str, cloud: BrowserStack
) -> None:
    async def work() -> None:
        async with here(database_url, cloud) as worker:
            batch = await worker.claim()
            await worker.backend.open_session(batch)
            await worker.engine.release(batch.lease, "drained")
            await worker.backend.open_session(await worker.claim())
            assert [session.running for session in cloud.sessions] == [False, True]
        assert [session.running for session in cloud.sessions] == [False, False]

    run(work)


@pytest.mark.parametrize(
    ("platform", "reset", "called"),
    [
        ("android", "none", []),
        ("android", "restart", ["terminateApp", "activateApp"]),
        ("android", "clear", ["clearApp", "activateApp"]),
        ("android", "reinstall", ["removeApp", "installApp", "activateApp"]),
        ("ios", "clear", ["removeApp", "installApp", "activateApp"]),
    ],
)
def test_a_reset_happens_in_the_session(
    engine: Engine, database_url: str, cloud: BrowserStack, tmp_path: Path, platform: str, reset: str, called: list[str]
) -> None:
    app(engine, tmp_path, platform=platform)
    selector = {"platform": platform}
    engine.submit("a.js", defaults={"target": "browserstack", "reset": reset, "selector": selector})

    async def work(worker: Here, batch: Any, session: Any, remote: Session) -> None:
        await worker.backend.reset(batch)
        assert [script for script, _ in remote.commands] == [f"mobile: {name}" for name in called]
        for script, (argument,) in remote.commands:
            expected = remote.app if script == "mobile: installApp" else "com.example.shop"
            assert list(argument.values()) == [expected]
        again = "installApp" in called
        assert remote.options.get("midSessionInstallApps") == ([remote.app] if again else None)
        if called:
            cloud.end(remote, "BROWSERSTACK_IDLE_TIMEOUT")
            with pytest.raises(PrepareError, match="could not be reset: Session not started or terminated"):
                await worker.backend.reset(batch)

    with_session(database_url, cloud, work, platform=platform)


@pytest.mark.usefixtures("batch")
def test_the_stand_in_opens_sessions_at_another_webdriver_server_on_the_uploaded_file(database_url: str) -> None:
    with StandIn() as appium, BrowserStack(upstream=appium.url) as cloud:
        opened = {"value": {"sessionId": "u1", "capabilities": {"appium:appPackage": "com.example.other"}}}
        appium.on("POST", "/session", opened)
        appium.on("POST", "/session/u1/execute/sync", {"value": 7}, problem(500, "no"))
        appium.on("DELETE", "/session/u1", {"value": None})

        async def work(worker: Here, batch: Any, session: Any, remote: Session) -> None:
            (asked,) = appium.asked("POST", "/session")
            wanted = asked.body["capabilities"]["alwaysMatch"]
            assert await asyncio.to_thread(Path(wanted["appium:app"]).read_text) == "shop 1.0"
            assert "bstack:options" not in wanted
            assert session.capabilities == {"appium:appPackage": "com.example.other"}
            driver = WebDriver(session.url, session.auth)
            assert await driver.execute(session.session_id, "mobile: tap") == 7
            with pytest.raises(WebDriverError, match="HTTP 500"):
                await driver.execute(session.session_id, "mobile: tap")
            await worker.backend.close_session(session, failed=False)
            assert appium.asked("DELETE", "/session/u1")

        with_session(database_url, cloud, work)


def test_whoever_asks_too_often_waits_as_long_as_it_is_told(
    cloud: BrowserStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    async def work() -> None:
        asking = api.Api(cloud.url, tuple(cloud.environment.values()))  # type: ignore[arg-type]
        monkeypatch.setattr(api.asyncio, "sleep", pause)
        cloud.refuse(2, retry_after="17")
        assert (await asking.plan()).team_parallel_sessions_max_allowed == 5
        assert all(17 <= seconds < 30 for seconds in pauses)
        assert len(pauses) == 2
        cloud.refuse(9)
        with pytest.raises(PrepareError, match="too many requests") as refused:
            await asking.plan()
        assert refused.value.blame == "provider"
        monkeypatch.undo()
        await asking.close()

    run(work)
    assert cloud.asked("GET", "/app-automate/plan.json") == 3 + api.TRIES


def test_a_probe_says_what_is_wrong_with_the_cloud(
    database_url: str, cloud: BrowserStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        async with here(database_url, cloud) as worker:
            asked = cloud.asked("GET", "/app-automate/plan.json")
            answers = await asyncio.gather(*(worker.backend.probe(f"cloud-{number}") for number in range(20)))
            assert set(answers) == {None}
            assert cloud.asked("GET", "/app-automate/plan.json") == asked + 1, "requests are limited"
            cloud.refuse(99)
            assert await worker.backend.probe("cloud-1") is None
            monkeypatch.setattr(worker.backend, "_well_until", 0.0)
            assert "too many requests" in (await worker.backend.probe("cloud-1") or "")

    run(work)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"api_url": f"https://{USER}:pw@example.com"}, "api_url must not carry credentials"),
        ({"hub_url": "http://example.com/wd/hub"}, "hub_url must begin with https"),
        ({"capabilities": {"bstack:options": {"accessKey": "k"}}}, "capabilities must not carry credentials"),
        ({"max_session_s": 7200}, "max_session_s"),
        ({"access_key": "k"}, "there is no access_key here"),
    ],
)
def test_wrong_settings_are_said_at_the_start(
    settings: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROWSERSTACK_USERNAME", USER)
    monkeypatch.setenv("BROWSERSTACK_ACCESS_KEY", "k3y")
    with pytest.raises(ConfigError, match=words):
        BrowserStackParallels(Options("w", "browserstack", settings=settings))


def test_the_command_of_the_guide_is_understood() -> None:
    lines = GUIDES[WORKER].replace("\\\n", " ").splitlines()
    words = shlex.split(next(line for line in lines if "--backend browserstack" in line))
    flag = "--backend-setting"
    said = settings(
        [words[at + 1] for at, word in enumerate(words) if word == flag] + ["build=42", "idle_timeout_s=90"], flag
    )
    found = settings_of(Options("w", "browserstack", settings=said))
    assert (found.platform, found.device, found.os_version) == ("android", "Google Pixel.*", "14.0")
    assert (found.build, found.idle_timeout_s) == ("42", 90)


def test_the_backend_drives_only_the_target_whose_devices_are_wiped() -> None:
    with pytest.raises(ConfigError, match="drives --target browserstack, not device"):
        BrowserStackParallels(Options("w", "device"))


def test_missing_credentials_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BROWSERSTACK_USERNAME", raising=False)
    monkeypatch.setenv("BROWSERSTACK_ACCESS_KEY", "")
    with pytest.raises(ConfigError, match="set BROWSERSTACK_USERNAME and BROWSERSTACK_ACCESS_KEY"):
        BrowserStackParallels(Options("w", "browserstack"))
