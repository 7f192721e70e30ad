"""The adb backend lists the devices that can work, again when one comes or goes, and says what is wrong with others."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable

import pytest
from adb_lab import backend
from fake_device import Lab

from worker.config import ConfigError
from worker.devices import DeviceSpec, Options
from worker.devices.adb import AdbDevices
from worker.devices.adb.discovery import device_name


async def until(lists: AsyncGenerator[list[DeviceSpec], None], count: int) -> list[DeviceSpec]:
    async for devices in lists:
        if len(devices) == count:
            return devices
    raise AssertionError("watching has ended")


def watching(lab: Lab, steps: Callable[[AsyncGenerator[list[DeviceSpec], None]], object], **options: str) -> None:
    async def run() -> None:
        lists = backend(lab, **options).watch()
        try:
            async with asyncio.timeout(60):
                await steps(lists)  # type: ignore[misc]
        finally:
            await lists.aclose()

    asyncio.run(run())


def test_what_is_there_is_listed_at_once_with_its_labels(lab: Lab) -> None:
    device = lab.device(ro_product_model="Pixel 8")

    async def steps(lists: AsyncGenerator[list[DeviceSpec], None]) -> None:
        lab.wait(device)
        assert await anext(lists) == [
            DeviceSpec(
                f"lab-{device.serial}",
                "emulator",
                {
                    "platform": "android",
                    "serial": device.serial,
                    "model": "Pixel 8",
                    "release": "14",
                    "sdk": "34",
                    "room": "7",
                },
            )
        ]

    lab.start_server()
    watching(lab, steps)


def test_an_adb_server_that_is_not_running_is_started(lab: Lab) -> None:
    device = lab.device()

    async def steps(lists: AsyncGenerator[list[DeviceSpec], None]) -> None:
        assert [found.labels["serial"] for found in await until(lists, 1)] == [device.serial]

    watching(lab, steps)


def test_a_device_is_driven_by_one_worker_of_a_machine(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    device = lab.device()

    async def steps(lists: AsyncGenerator[list[DeviceSpec], None]) -> None:
        await until(lists, 1)
        others = backend(lab).watch()
        assert await anext(others) == []
        assert f"{device.serial} is driven by another worker on this machine" in caplog.text
        await lists.aclose()
        assert [found.labels["serial"] for found in await until(others, 1)] == [device.serial]
        await others.aclose()

    watching(lab, steps)


def test_devices_come_and_go(lab: Lab) -> None:
    stays, leaves = lab.device(), lab.device(plugged=False)

    async def steps(lists: AsyncGenerator[list[DeviceSpec], None]) -> None:
        await until(lists, 1)
        lab.plug(leaves)
        await until(lists, 2)
        lab.unplug(leaves)
        assert [found.labels["serial"] for found in await until(lists, 1)] == [stays.serial]
        lab.plug(leaves)
        await until(lists, 2)

    watching(lab, steps)


def test_a_server_that_is_killed_is_started_again_and_devices_that_only_blink_do_not_go(
    lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    first = lab.device()

    async def steps(lists: AsyncGenerator[list[DeviceSpec], None]) -> None:
        await until(lists, 1)
        lab.run("kill-server")
        late = lab.device()
        # The very next list has both: none without the first was told meanwhile.
        assert {found.labels["serial"] for found in await anext(lists)} == {first.serial, late.serial}

    watching(lab, steps)
    assert "adb: its server went away; starting it again" in caplog.messages


def test_emulators_and_phones_are_told_apart(lab: Lab) -> None:
    emulator, phone = lab.device(), lab.device(emulator=False)
    over_network = lab.device(emulator=False, ro_kernel_qemu="1")

    async def emulators(lists: AsyncGenerator[list[DeviceSpec], None]) -> None:
        found = {device.labels["serial"] for device in await until(lists, 2)}
        assert found == {emulator.serial, over_network.serial}

    async def phones(lists: AsyncGenerator[list[DeviceSpec], None]) -> None:
        assert [device.labels["serial"] for device in await until(lists, 1)] == [phone.serial]

    watching(lab, emulators)
    watching(lab, phones, target="device")


def test_a_device_is_listed_once_it_has_booted(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    device = lab.device()
    device.boot(booted=False)
    lab.start_server()
    lab.wait(device)

    async def steps(lists: AsyncGenerator[list[DeviceSpec], None]) -> None:
        assert await anext(lists) == []
        device.boot(booted=True)
        await until(lists, 1)

    watching(lab, steps)
    assert caplog.messages.count(f"{device.serial} is still booting.") == 1


@pytest.mark.parametrize(
    ("handshake", "words"),
    [("unauthorized", "has not accepted this computer: allow it on its screen."), ("offline", "is offline")],
)
def test_a_device_that_cannot_be_used_is_named_once(
    lab: Lab, caplog: pytest.LogCaptureFixture, handshake: str, words: str
) -> None:
    caplog.set_level(logging.WARNING)
    device = lab.device(plugged=False)
    device.handshake = handshake  # type: ignore[assignment]
    lab.start_server()
    lab.plug(device)
    lab.wait(device, handshake)

    async def steps(lists: AsyncGenerator[list[DeviceSpec], None]) -> None:
        assert await anext(lists) == []
        lab.device()
        await until(lists, 1)

    watching(lab, steps)
    assert sum(f"{device.serial} {words}" in message for message in caplog.messages) == 1


def test_a_device_that_hangs_delays_no_other(lab: Lab) -> None:
    stuck = lab.device()
    stuck.faults["getprop"] = "hang"
    works = lab.device()

    async def steps(lists: AsyncGenerator[list[DeviceSpec], None]) -> None:
        assert [device.labels["serial"] for device in await until(lists, 1)] == [works.serial]

    watching(lab, steps)


def test_an_android_that_is_too_old_is_refused_in_words(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    old = lab.device(ro_build_version_sdk="22")
    lab.start_server()
    lab.wait(old)

    async def steps(lists: AsyncGenerator[list[DeviceSpec], None]) -> None:
        assert await anext(lists) == []

    watching(lab, steps)
    assert f"{old.serial} has Android API level 22, and 24 is the oldest that can be used." in caplog.messages


def test_adb_that_is_not_installed_is_a_wrong_configuration() -> None:
    with pytest.raises(ConfigError, match="no program 'no-adb': install the Android platform tools"):
        AdbDevices(Options("lab", "emulator", settings={"adb": "no-adb"}))


def test_adb_drives_no_device_cloud() -> None:
    with pytest.raises(ConfigError, match="--target emulator, or --target device"):
        AdbDevices(Options("lab", "browserstack"))


def test_a_setting_that_does_not_exist_is_a_wrong_configuration(lab: Lab) -> None:
    with pytest.raises(ConfigError, match="unknown field `batery_percent`"):
        backend(lab, health={"batery_percent": 5})


def test_the_name_of_a_device_is_short_and_one_word() -> None:
    assert device_name("lab", "emulator-5554") == "lab-emulator-5554"
    assert device_name("lab 1", "adb-R5 (2)._adb-tls-connect._tcp") == "lab-1-adb-R5-2-._adb-tls-connect._tcp"
    assert len(device_name("w" * 128, "s" * 64)) == 128
