"""What the tests of the adb backend have in common: builds as files, batches for fake devices, a backend at work."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from batches import batch as a_batch
from fake_device import FakeDevice, Lab
from msgspec.structs import replace

from worker.batch import Artifact, Batch
from worker.devices import Options
from worker.devices.adb import AdbDevices

APP = "com.example.shop"
Result = TypeVar("Result")


def build(folder: Path, content: str = "1.0.0", app_id: str = APP) -> Artifact:
    """A file that a fake device takes for an APK of that package."""
    path = folder / f"{app_id}-{content}.apk"
    path.write_bytes(f"PK package={app_id} {content} ".encode() + bytes(200_000))
    return Artifact(f"file://{path}", hashlib.sha256(path.read_bytes()).hexdigest(), app_id)


def on(device: FakeDevice, artifact: Artifact | None, *, reset: str = "clear") -> Batch:
    """A batch for a device of a worker named lab."""
    return replace(
        a_batch("tests/a.spec.js"), device=f"lab-{device.serial}", artifact=artifact, reset=reset, install=True
    )


def backend(lab: Lab, target: str = "emulator", project: Path = Path(), **settings: Any) -> AdbDevices:
    labels, settings = {"room": "7"}, {"adb": str(lab.adb), **settings}
    return AdbDevices(Options("lab", target, labels=labels, settings=settings, project=project))  # type: ignore[arg-type]


def using(devices: AdbDevices, work: Callable[[], Awaitable[Result]], expecting: int = 1) -> Result:
    """Do `work` once the backend has found so many devices, while it watches them."""

    async def both() -> Result:
        lists = devices.watch()
        try:
            async with asyncio.timeout(60):
                async for found in lists:
                    if len(found) >= expecting:
                        return await work()
        finally:
            await lists.aclose()
        raise AssertionError("watching has ended")

    return asyncio.run(both())
