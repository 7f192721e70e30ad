"""The adb backend sends a build to a device once, and knows by its content that it is there."""

import asyncio
import hashlib
import shutil
from pathlib import Path

import pytest
from adb_lab import APP, backend, build, on, using
from fake_device import FakeDevice, Lab
from msgspec.structs import replace

from worker.batch import Artifact, PrepareError

# Made by aapt from a manifest that declares package com.example.shop, and nothing else.
REAL_APK = Path(__file__).parent / "fake_device" / "shop.apk"


@pytest.fixture
def device(lab: Lab) -> FakeDevice:
    return lab.device()


def installing(lab: Lab, device: FakeDevice, *artifacts: object, **settings: object) -> None:
    devices = backend(lab, **settings)

    async def work() -> None:
        for artifact in artifacts:
            await devices.install(on(device, artifact))  # type: ignore[arg-type]

    using(devices, work)


def test_a_build_is_sent_once_and_not_again(lab: Lab, device: FakeDevice, tmp_path: Path) -> None:
    artifact = build(tmp_path)
    installing(lab, device, artifact, artifact, artifact)
    assert device.count("install") == 1
    assert device.events[0] == f"install {APP} -d -g -r -t"


def test_another_build_replaces_it_without_uninstalling(lab: Lab, device: FakeDevice, tmp_path: Path) -> None:
    installing(lab, device, build(tmp_path, "1.0"), build(tmp_path, "1.1"))
    assert (device.count("install"), device.count("uninstall")) == (2, 0)


def test_a_batch_begins_without_the_data_of_earlier_ones(lab: Lab, device: FakeDevice, tmp_path: Path) -> None:
    first, second = build(tmp_path, "1.0"), build(tmp_path, "1.1")
    installing(lab, device, first, first, second)
    changes = [event.split()[0] for event in device.events if not event.startswith("grant")]
    assert changes == ["install", "clear", "install", "clear"]


def test_two_devices_install_at_the_same_time(lab: Lab, tmp_path: Path) -> None:
    pair, artifact, devices = [lab.device(), lab.device()], build(tmp_path), backend(lab)

    async def work() -> None:
        async with asyncio.TaskGroup() as group:
            for device in pair:
                group.create_task(devices.install(on(device, artifact)))

    using(devices, work, expecting=2)
    assert [device.count("install") for device in pair] == [1, 1]


def test_an_old_android_is_installed_on_by_a_push(lab: Lab, tmp_path: Path) -> None:
    device = lab.device(plugged=False)
    device.features = "shell_v2"
    lab.plug(device)
    installing(lab, device, build(tmp_path))
    assert device.count("install") == 1


def test_an_install_that_changed_the_content_is_no_install(lab: Lab, device: FakeDevice, tmp_path: Path) -> None:
    device.set(corrupts_installs=True)
    with pytest.raises(PrepareError, match="but holds another content") as failure:
        installing(lab, device, build(tmp_path))
    assert failure.value.blame == "device"


def test_a_file_that_is_not_what_was_registered_is_not_sent(lab: Lab, device: FakeDevice, tmp_path: Path) -> None:
    with pytest.raises(PrepareError, match="is not the one that was added to the build") as failure:
        installing(lab, device, replace(build(tmp_path), sha256="0" * 64))
    assert (failure.value.blame, device.events) == ("app", [])


def test_a_device_that_vanishes_in_the_middle_is_to_blame(lab: Lab, device: FakeDevice, tmp_path: Path) -> None:
    device.faults["package install"] = "vanish"
    with pytest.raises(PrepareError, match=rf"{device.serial} (is not connected|is offline)") as failure:
        installing(lab, device, build(tmp_path))
    assert failure.value.blame == "device"


def test_an_install_that_hangs_has_an_end(lab: Lab, device: FakeDevice, tmp_path: Path) -> None:
    device.faults["package install"] = "hang"
    with pytest.raises(PrepareError, match=rf"{device.serial} did not answer within 0.5 s: install -r") as failure:
        installing(lab, device, build(tmp_path), install_limit_s=0.5)
    assert failure.value.blame == "device"


def test_a_device_that_is_gone_is_to_blame(lab: Lab, device: FakeDevice, tmp_path: Path) -> None:
    devices = backend(lab)

    async def work() -> None:
        lab.run("kill-server")  # which forgets it
        lab.unplug(device)
        await devices.install(on(device, build(tmp_path)))

    with pytest.raises(PrepareError, match=rf"{device.serial} is not connected") as failure:
        using(devices, work)
    assert failure.value.blame == "device"


def test_a_build_without_an_artifact_says_what_to_do(lab: Lab, device: FakeDevice) -> None:
    with pytest.raises(
        PrepareError, match=r"Build v1.2.3 has no artifact for android.*assume_installed=true"
    ) as failure:
        installing(lab, device, None)
    assert failure.value.blame == "config"


def test_a_build_may_be_assumed_to_be_installed(lab: Lab, device: FakeDevice) -> None:
    installing(lab, device, None, assume_installed=True)
    assert device.events == []


def test_the_package_name_is_read_from_the_apk(lab: Lab, device: FakeDevice, tmp_path: Path) -> None:
    apk = Path(shutil.copy(REAL_APK, tmp_path))
    artifact = Artifact(apk.as_uri(), hashlib.sha256(apk.read_bytes()).hexdigest())
    assert using((devices := backend(lab)), lambda: devices.app_id(on(device, artifact))) == APP


def test_a_file_that_is_no_apk_is_the_builds_fault(lab: Lab, device: FakeDevice, tmp_path: Path) -> None:
    with pytest.raises(PrepareError, match="is not an APK that can be read") as failure:
        installing(lab, device, replace(build(tmp_path), app_id=None))
    assert failure.value.blame == "app"


@pytest.mark.parametrize("app_id", ["com.example; reboot", "shop", "-r", ""])
def test_only_a_package_name_reaches_the_devices_shell(
    lab: Lab, device: FakeDevice, tmp_path: Path, app_id: str
) -> None:
    with pytest.raises(PrepareError, match="is not the package name of an Android app") as failure:
        installing(lab, device, replace(build(tmp_path), app_id=app_id))
    assert failure.value.blame == "app"
