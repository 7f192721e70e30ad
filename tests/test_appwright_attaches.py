"""Unmodified AppWright specs share one session and one installation, on devices and in the cloud; without attaching,
each test has its own. From `qgjob submit` to the result, with every process and program real but the devices."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from appium_home import APP_ID, PROJECT, Home, installed, program
from batches import gone
from browserstack import KEY, USER, BrowserStack
from engine import Engine
from fake_device import FakeDevice, Lab
from processes import Services
from sessions import stored

from qgjob.children import Child, wait_until

pytestmark = pytest.mark.appwright

SPECS = sorted(path.relative_to(PROJECT).as_posix() for path in PROJECT.glob("tests/*.spec.ts"))
FAILING = ["tests/checkout.spec.ts", "tests/profile.spec.ts"]
READY_S = 60


@pytest.fixture
def phone(lab: Lab) -> FakeDevice:
    """There when workers start."""
    lab.start_server()
    phone = lab.device()
    lab.wait(phone)
    return phone


@pytest.fixture
def service(services: Services, home: Home) -> Services:
    """The API; the client is in the samples' folder."""
    services.project = PROJECT
    services.api()
    return services


def add_build(service: Services) -> None:
    done = service.qgjob("builds", "add", "--org-id=acme", "--app-version-id=v1", "--android=app/shop.apk")
    assert done.returncode == 0, done.stderr


def adb_worker(service: Services, lab: Lab, *options: str) -> Child:
    return service.worker(
        "emu", "--backend", "adb", "--backend-setting", f"adb={lab.adb}", "--executor", "appwright",
        "--project", str(PROJECT), *options,
    )  # fmt: skip


def cloud_worker(service: Services, cloud: BrowserStack, *options: str) -> Child:
    settings = [word for name, value in cloud.settings.items() for word in ("--backend-setting", f"{name}={value}")]
    return service.worker(
        "cloud", "--target", "browserstack", "--backend", "browserstack", *settings, "--executor", "appwright",
        "--project", str(PROJECT), *options, **cloud.environment,
    )  # fmt: skip


def leaves(worker: Child) -> None:
    worker.process.terminate()
    assert worker.process.wait(READY_S) == 0, worker.last_lines()


def submit(service: Services, worker: Child, *options: str, tests: str = "tests/*.spec.ts") -> dict[str, Any]:
    """Submit and wait; the run."""
    done = service.qgjob(
        "submit",
        "--org-id=acme",
        "--app-version-id=v1",
        f"--test={tests}",
        "--wait",
        "--timeout=5m",
        "--json",
        *options,
    )
    assert done.returncode in (0, 1), done.stderr + worker.last_lines(60)
    run: dict[str, Any] = json.loads(done.stdout)
    return run


def results(engine: Engine) -> dict[str, str]:
    """By spec: `completed`, or the kind of failure. Each job has exactly one attempt."""
    rows = engine.rows("select test_path, coalesce(failure_kind, status) as verdict from reporting.attempts")
    assert len(rows) == len({row.test_path for row in rows}), "not one attempt for each"
    return {row.test_path: row.verdict for row in rows}


def assert_two_of_eight_failed(engine: Engine) -> None:
    assert len(SPECS) == 8
    assert results(engine) == {spec: "test" if spec in FAILING else "completed" for spec in SPECS}, engine.rows(
        "select test_path, message, log_tail from reporting.attempts"
    )
    reasons = engine.rows("select message from reporting.attempts where status = 'failed' order by test_path")
    assert "toBeVisible" in reasons[0].message or "Element" in reasons[0].message, reasons
    assert "Ada Lovelace" in reasons[1].message, reasons


def say(capsys: pytest.CaptureFixture[str], text: str) -> None:
    with capsys.disabled():
        print(f"\n{text}")


def test_eight_specs_of_which_two_fail_take_one_installation_and_one_session_on_an_emulator(
    engine: Engine, service: Services, lab: Lab, home: Home, phone: FakeDevice, capsys: pytest.CaptureFixture[str]
) -> None:
    add_build(service)
    worker = adb_worker(service, lab)
    done = service.qgjob("submit", "--org-id=acme", "--app-version-id=v1", "--test=tests/*.spec.ts", "--wait")
    leaves(worker)
    say(capsys, done.stdout)
    assert done.returncode == 1, done.stderr + worker.last_lines(60)
    say(capsys, f"emulator, attached: 8 specs, {phone.count('install')} install, {home.count('session')} session")
    assert_two_of_eight_failed(engine)
    assert (phone.count("install"), home.count("session"), home.count("quit")) == (1, 1, 1)
    assert "8 jobs · 6 passed · 2 failed" in done.stdout
    assert "installs: 1 for 8 attempts, instead of one each" in done.stdout
    assert all(gone(server) for server in home.servers())
    # What stays of a failure: the screen as the test left it, and what the device tells.
    files = engine.rows("select test_path, files from reporting.attempts where status = 'failed'")
    assert {"screenshot.png", "screen.png"} <= {file["name"] for row in files for file in row.files}
    # Every test found the app without data, and resetting it is no part of the test.
    assert phone.count("clear") == 8
    assert engine.value("select bool_and(reset_s > 0 and reset_s < duration_s) from reporting.attempts")


def test_eight_specs_of_which_two_fail_take_one_upload_and_one_session_in_the_cloud(
    engine: Engine,
    service: Services,
    home: Home,
    phone: FakeDevice,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    add_build(service)
    with home.serving() as appium, BrowserStack(upstream=appium) as cloud:
        worker = cloud_worker(service, cloud)
        submit(service, worker, "--target=browserstack:android")
        leaves(worker)
        counted = f"{len(cloud.uploads)} upload, {phone.count('install')} install, {len(cloud.sessions)} session"
        say(capsys, f"BrowserStack stand-in, attached: 8 specs, {counted}")
        assert_two_of_eight_failed(engine)
        assert (len(cloud.uploads), phone.count("install"), len(cloud.sessions)) == (1, 1, 1)
        assert home.count("session") == 1
        (session,) = cloud.sessions
        assert session.marked == {"status": "failed", "reason": "2 of 8 specs failed"}
        assert f"{FAILING[0]}: test" in session.annotations
        video = session.shown()["automation_session"]["video_url"]
    rows = engine.rows("select video_url, video_offset_s from reporting.attempts order by started_at")
    assert {row.video_url for row in rows} == {video}
    offsets = [row.video_offset_s for row in rows]
    assert offsets == sorted(set(offsets))
    assert not phone.has_package(APP_ID), "the device was not wiped"
    # The specs' process had the credentials, and what it printed and left is kept.
    files = [path.read_bytes().decode(errors="replace") for path in (tmp_path / "store").rglob("*") if path.is_file()]
    assert len(files) > 1, "the build, and what failures left"
    for secret in (KEY, USER):
        assert all(secret not in kept for kept in (stored(engine), worker.log.read_text(), *files))


def test_two_devices_of_a_machine_share_the_specs_each_with_an_appium_server_of_its_own(
    engine: Engine, service: Services, lab: Lab, home: Home, phone: FakeDevice
) -> None:
    other = lab.device()
    lab.wait(other)
    add_build(service)
    worker = adb_worker(service, lab)
    submit(service, worker)
    leaves(worker)
    assert_two_of_eight_failed(engine)
    assert (phone.count("install"), other.count("install")) == (1, 1)
    assert (home.count("session"), home.count("quit"), len(home.servers())) == (2, 2, 2)
    assert engine.value("select count(distinct device) from reporting.attempts") == 2
    assert phone.count("clear") + other.count("clear") == 8


def test_specs_wait_unharmed_while_the_cloud_has_no_room(
    engine: Engine, service: Services, home: Home, phone: FakeDevice
) -> None:
    add_build(service)
    with home.serving() as appium, BrowserStack(allowed=1, upstream=appium) as cloud:
        with cloud.used_by_others(1):
            worker = cloud_worker(service, cloud)
            run = engine.submit("tests/onboarding.spec.ts", defaults={"target": "browserstack"})
            assert wait_until(lambda: "parallel sessions" in worker.last_lines(100), 60), worker.last_lines()
            assert engine.value("select count(*) from qgjob.attempt") == 0
        assert wait_until(lambda: engine.run(run.run_id).finished_at is not None, 300), worker.last_lines()
        leaves(worker)
        assert results(engine) == {"tests/onboarding.spec.ts": "completed"}
        assert engine.value("select sum(losses) from qgjob.job") == 0
        assert (len(cloud.sessions), cloud.refused, phone.count("install")) == (1, 0, 1)


def test_without_attaching_each_test_has_a_session_and_an_installation(
    engine: Engine,
    service: Services,
    lab: Lab,
    home: Home,
    phone: FakeDevice,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # AppWright calls `npx` to install a driver, which is there, and to start Appium.
    start = f"exec node {installed() / 'appium' / 'index.js'} --address 127.0.0.1"
    program(tmp_path / "bin" / "npx", f'[ "$2" = driver ] || {start}')
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    worker = adb_worker(
        service, lab, "--backend-setting", "assume_installed=true", "--setting", "attach=false",
        "--setting", "project=android",
    )  # fmt: skip
    submit(service, worker)
    leaves(worker)
    say(capsys, f"emulator, as is: 8 specs, {phone.count('install')} installs, {home.count('session')} sessions")
    assert_two_of_eight_failed(engine)
    assert (phone.count("install"), home.count("session")) == (8, 8)
    log = engine.rows("select log from qgjob.attempt")[0].log
    assert "told not to attach, so AppWright opens a session and installs the build for every test" in log


@pytest.mark.parametrize(
    ("reset", "told"),
    [("reinstall", "uninstall"), ("restart", "force-stop"), ("none", None)],
)
def test_each_test_finds_the_app_as_the_batch_asks(
    engine: Engine, service: Services, lab: Lab, home: Home, phone: FakeDevice, reset: str, told: str | None
) -> None:
    add_build(service)
    worker = adb_worker(service, lab)
    submit(service, worker, f"--reset={reset}", tests="tests/sign-*.spec.ts")
    leaves(worker)
    if told:
        assert phone.count(told) == 2
    assert phone.count("clear") == 0
    assert phone.count("install") == (3 if reset == "reinstall" else 1)
    assert home.count("session") == 1
    # Who is signed in stays so when the app is only restarted, so the last test finds no field to sign in with.
    kept = reset in ("restart", "none")
    assert sorted(results(engine).values()) == ["completed", "test" if kept else "completed"]


def test_a_session_that_is_kept_for_the_next_batch_ends_with_its_build(
    engine: Engine, service: Services, lab: Lab, home: Home, phone: FakeDevice
) -> None:
    worker = adb_worker(service, lab)
    add_build(service)
    submit(service, worker, tests="tests/onboarding.spec.ts")
    assert (home.count("session"), home.count("quit")) == (1, 0)
    submit(service, worker, tests="tests/sign-in.spec.ts")
    assert (home.count("session"), home.count("quit"), phone.count("install")) == (1, 0, 1)
    done = service.qgjob("builds", "add", "--org-id=beta", "--app-version-id=v1", "--android=app/shop.apk")
    assert done.returncode == 0, done.stderr
    submit(service, worker, "--org-id=beta", tests="tests/sign-in.spec.ts")
    assert (home.count("session"), home.count("quit")) == (2, 1)
    leaves(worker)
    assert home.count("quit") == 2
    assert engine.value("select count(distinct session_id) from qgjob.batch") == 2
