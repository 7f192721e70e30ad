"""Each reason for which Android refuses an install is blamed on who can do something about it, and tried again without
the installed app only where that stands in the way."""

from pathlib import Path

import pytest
from adb_lab import APP, backend, build, on, using
from fake_device import Lab

from worker.batch import PrepareError
from worker.devices.adb.install_failures import REASONS, named

# By name, so that a new row is thought about here, too.
UNINSTALLED_FIRST = {
    "INSTALL_FAILED_ALREADY_EXISTS",
    "INSTALL_FAILED_DUPLICATE_PACKAGE",
    "INSTALL_FAILED_PERMISSION_MODEL_DOWNGRADE",
    "INSTALL_FAILED_REPLACE_COULDNT_DELETE",
    "INSTALL_FAILED_SANDBOX_VERSION_DOWNGRADE",
    "INSTALL_FAILED_SHARED_USER_INCOMPATIBLE",
    "INSTALL_FAILED_UID_CHANGED",
    "INSTALL_FAILED_UPDATE_INCOMPATIBLE",
    "INSTALL_FAILED_VERSION_DOWNGRADE",
    "INSTALL_FAILED_WRONG_INSTALLED_VERSION",
    "INSTALL_PARSE_FAILED_INCONSISTENT_CERTIFICATES",
}
THE_APPS_FAULT = {
    "INSTALL_FAILED_BAD_DEX_METADATA",
    "INSTALL_FAILED_BAD_PERMISSION_GROUP",
    "INSTALL_FAILED_BAD_SIGNATURE",
    "INSTALL_FAILED_CPU_ABI_INCOMPATIBLE",
    "INSTALL_FAILED_INVALID_APK",
    "INSTALL_FAILED_INVALID_INSTALL_LOCATION",
    "INSTALL_FAILED_MISSING_SPLIT",
    "INSTALL_FAILED_MULTIPACKAGE_INCONSISTENCY",
    "INSTALL_FAILED_MULTI_ARCH_NOT_MATCH_ALL_NATIVE_ABIS",
    "INSTALL_FAILED_NO_MATCHING_ABIS",
    "INSTALL_FAILED_NO_SHARED_USER",
    "INSTALL_FAILED_PROCESS_NOT_DEFINED",
    "INSTALL_FAILED_SHARED_LIBRARY_BAD_CERTIFICATE_DIGEST",
    "INSTALL_PARSE_FAILED_BAD_MANIFEST",
    "INSTALL_PARSE_FAILED_BAD_PACKAGE_NAME",
    "INSTALL_PARSE_FAILED_BAD_SHARED_USER_ID",
    "INSTALL_PARSE_FAILED_CERTIFICATE_ENCODING",
    "INSTALL_PARSE_FAILED_INCONSISTENT_CERTIFICATES",
    "INSTALL_PARSE_FAILED_MANIFEST_EMPTY",
    "INSTALL_PARSE_FAILED_MANIFEST_MALFORMED",
    "INSTALL_PARSE_FAILED_NOT_APK",
    "INSTALL_PARSE_FAILED_NO_CERTIFICATES",
    "INSTALL_PARSE_FAILED_RESOURCES_ARSC_COMPRESSED",
    "INSTALL_PARSE_FAILED_UNEXPECTED_EXCEPTION",
}


def test_every_reason_through_adb(lab: Lab, tmp_path: Path) -> None:
    """One after the other on one device: the refusal comes in adb's words, and what is done about it is seen."""
    device, artifact, devices = lab.device(), build(tmp_path), backend(lab)
    seen: dict[str, tuple[str, str, bool]] = {}

    async def work() -> None:
        for name in REASONS:
            uninstalled = device.count("uninstall")
            device.set(install_failures=[f"{name}: Package {APP} …"] * 2)
            if not device.has_package(APP):
                device.has(APP)
            with pytest.raises(PrepareError) as failure:
                await devices.install(on(device, artifact))
            seen[name] = failure.value.blame, str(failure.value), device.count("uninstall") > uninstalled

    using(devices, work)
    assert {name for name, (blame, _, _) in seen.items() if blame == "app"} == THE_APPS_FAULT
    assert {blame for blame, _, _ in seen.values()} == {"app", "device"}
    assert {name for name, (_, _, uninstalled) in seen.items() if uninstalled} == UNINSTALLED_FIRST
    for name, (_, message, _) in seen.items():
        assert f"does not install {APP}: {REASONS[name].meaning}. It said: " in message
        assert name in message
    assert device.count("install") == 0


@pytest.mark.parametrize("name", sorted(UNINSTALLED_FIRST))
def test_without_what_stands_in_the_way_it_is_installed(lab: Lab, tmp_path: Path, name: str) -> None:
    device, devices, artifact = lab.device(), backend(lab), build(tmp_path)
    device.has(APP)
    device.set(install_failures=[name])
    using(devices, lambda: devices.install(on(device, artifact)))
    assert [event.split()[0] for event in device.events][:2] == ["uninstall", "install"]


def test_an_app_that_cannot_be_removed_is_the_devices_fault(lab: Lab, tmp_path: Path) -> None:
    device, devices, artifact = lab.device(), backend(lab), build(tmp_path)
    device.has(APP, system=True)
    device.set(install_failures=["INSTALL_FAILED_UPDATE_INCOMPATIBLE"])
    with pytest.raises(PrepareError, match=f"does not remove {APP}.*DELETE_FAILED_INTERNAL_ERROR") as failure:
        using(devices, lambda: devices.install(on(device, artifact)))
    assert failure.value.blame == "device"


@pytest.mark.parametrize("words", ["Failure [INSTALL_FAILED_FROM_THE_FUTURE]", "cmd: Can't find service: package", ""])
def test_what_nobody_knows_is_the_devices_fault(words: str) -> None:
    _, reason = named(words)
    assert (reason.blame, reason.uninstall) == ("device", False)
