"""The adb backend says in words why a device cannot work, resets apps between jobs, and keeps what a failure left."""

import time
from pathlib import Path
from typing import Any

import pytest
from adb_lab import APP, backend, build, on, using
from fake_device import FakeDevice, Lab

from qgjob.models.words import Reset
from worker.batch import File, PrepareError
from worker.config import ConfigError


@pytest.fixture
def device(lab: Lab) -> FakeDevice:
    return lab.device()


def probe(lab: Lab, device: FakeDevice, **settings: Any) -> str | None:
    devices = backend(lab, **settings)
    return using(devices, lambda: devices.probe(f"lab-{device.serial}"))


def test_a_sound_device_can_work(lab: Lab, device: FakeDevice) -> None:
    assert probe(lab, device) is None


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"battery": {"present": "true", "level": "9"}}, "The battery of {} is at 9 %, less than 15 %."),
        ({"battery": {"present": "true", "temperature": "512"}}, "{} is 51.2 °C hot, more than 45."),
        ({"free_kb": 204_800}, "{} has 200 MB free on /data, less than 500."),
        ({"airplane_mode": "1"}, "{} is in airplane mode."),
    ],
)
def test_what_is_wrong_is_said(lab: Lab, device: FakeDevice, state: dict[str, Any], words: str) -> None:
    device.set(**state)
    assert probe(lab, device) == words.format(device.serial)


def test_the_limits_are_settings(lab: Lab, device: FakeDevice) -> None:
    device.set(battery={"present": "true", "level": "9", "temperature": "512"}, free_kb=204_800, airplane_mode="1")
    lenient = {"battery_percent": 5, "temperature_c": 60, "free_mb": 100, "airplane_mode": True}
    assert probe(lab, device, health=lenient) is None


def test_a_device_without_a_battery_is_not_measured_by_it(lab: Lab, device: FakeDevice) -> None:
    device.set(battery={"present": "false", "level": "0", "temperature": "0"})
    assert probe(lab, device) is None


def test_a_device_that_hangs_is_noticed(lab: Lab, device: FakeDevice) -> None:
    device.faults["echo ok"] = "hang"
    assert probe(lab, device) == f"{device.serial} did not answer within 5 s: shell 'echo ok'"


def test_a_device_that_starts_again_has_not_finished_booting(lab: Lab, device: FakeDevice) -> None:
    devices = backend(lab)

    async def work() -> str | None:
        device.boot(booted=False)
        return await devices.probe(f"lab-{device.serial}")

    assert using(devices, work) == f"{device.serial} has not finished booting."


def test_a_device_that_nobody_has_seen_cannot_work(lab: Lab, device: FakeDevice) -> None:
    devices = backend(lab)
    assert using(devices, lambda: devices.probe("lab-nowhere")) == "No device lab-nowhere was ever connected here."


def resetting(lab: Lab, device: FakeDevice, tmp_path: Path, reset: Reset) -> list[str]:
    """What the reset changed."""
    devices, batch = backend(lab), on(device, build(tmp_path), reset=reset)

    async def work() -> list[str]:
        await devices.install(batch)
        before = len(device.events)
        await devices.reset(batch)
        return device.events[before:]

    return using(devices, work)


def test_reset_clear_takes_the_data_and_gives_the_permissions_back(
    lab: Lab, device: FakeDevice, tmp_path: Path
) -> None:
    assert resetting(lab, device, tmp_path, "clear") == [
        f"clear {APP}",
        f"grant {APP} android.permission.CAMERA",
        f"grant {APP} android.permission.POST_NOTIFICATIONS",
    ]


def test_reset_restart_stops_the_app_and_keeps_its_data(lab: Lab, device: FakeDevice, tmp_path: Path) -> None:
    assert resetting(lab, device, tmp_path, "restart") == [f"force-stop {APP}"]


def test_reset_reinstall_installs_again(lab: Lab, device: FakeDevice, tmp_path: Path) -> None:
    assert resetting(lab, device, tmp_path, "reinstall") == [f"uninstall {APP}", f"install {APP} -d -g -r -t"]


def test_reset_none_leaves_everything(lab: Lab, device: FakeDevice, tmp_path: Path) -> None:
    assert resetting(lab, device, tmp_path, "none") == []


def test_an_app_that_is_not_there_cannot_be_cleared(lab: Lab, device: FakeDevice, tmp_path: Path) -> None:
    devices = backend(lab)
    with pytest.raises(PrepareError, match=f"{device.serial} cannot clear the data of {APP}: Failed") as failure:
        using(devices, lambda: devices.reset(on(device, build(tmp_path))))
    assert failure.value.blame == "device"


def test_nobody_knows_what_to_reset_without_an_artifact(lab: Lab, device: FakeDevice) -> None:
    devices = backend(lab, assume_installed=True)
    with pytest.raises(PrepareError, match="Reset clear needs an artifact") as failure:
        using(devices, lambda: devices.reset(on(device, None)))
    assert failure.value.blame == "config"


def evidence(lab: Lab, device: FakeDevice, folder: Path, since_s: float = 60) -> dict[str, File]:
    devices = backend(lab)
    files = using(devices, lambda: devices.evidence(on(device, None), folder, since_s))
    assert all(file.path.parent == folder for file in files)
    return {file.name: file for file in files}


def test_a_failure_leaves_the_log_since_the_job_began_and_the_screen(
    lab: Lab, device: FakeDevice, tmp_path: Path
) -> None:
    device.log("I ActivityManager: of an earlier job", time.time() - 300)
    device.log("E AndroidRuntime: FATAL EXCEPTION: main", time.time() - 3)
    files = evidence(lab, device, tmp_path / "kept", since_s=30)
    assert [(file.name, file.content_type) for file in files.values()] == [
        ("screen.png", "image/png"),
        ("logcat.txt", "text/plain"),
    ]
    log = files["logcat.txt"].path.read_text()
    assert "FATAL EXCEPTION" in log
    assert "earlier job" not in log
    # What screencap prints before the picture is not in it.
    assert files["screen.png"].path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_a_long_log_is_cut_at_its_beginning(lab: Lab, device: FakeDevice, tmp_path: Path) -> None:
    now = time.time()
    (device.root / "log").write_text(f"{now:.3f} {'x' * 1000}\n" * 2000 + f"{now:.3f} the last line\n")
    log = evidence(lab, device, tmp_path / "kept")["logcat.txt"].path
    assert log.stat().st_size == 1024 * 1024
    assert log.read_text().endswith("the last line\n")


def test_what_cannot_be_had_is_left_out(lab: Lab, device: FakeDevice, tmp_path: Path) -> None:
    device.set(screen_is_black=True)
    device.log("I ActivityManager: something", time.time())
    assert list(evidence(lab, device, tmp_path / "kept")) == ["logcat.txt"]


def test_a_device_that_is_gone_leaves_nothing_and_nothing_is_raised(
    lab: Lab, device: FakeDevice, tmp_path: Path
) -> None:
    device.faults["screencap"] = "vanish"
    assert evidence(lab, device, tmp_path / "kept") == {}


def test_tests_are_told_which_device_is_theirs(lab: Lab, device: FakeDevice) -> None:
    devices = backend(lab)

    async def work() -> dict[str, str]:
        return devices.environment(on(device, None))

    assert using(devices, work) == {"ANDROID_SERIAL": device.serial}


def test_a_session_needs_an_appium_server(lab: Lab, device: FakeDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    devices = backend(lab)  # finds adb before there is no PATH
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match=r"appium: neither in .* nor on the PATH"):
        devices.require_sessions()
    with pytest.raises(PrepareError, match="No session can be opened here: appium: neither in") as failure:
        using(devices, lambda: devices.open_session(on(device, None)))
    assert failure.value.blame == "config"


def test_an_appium_that_is_named_and_not_there_is_said_at_the_start(lab: Lab) -> None:
    with pytest.raises(ConfigError, match="appium: no such program: appium-9"):
        backend(lab, appium="appium-9")
