"""Fake devices on an adb server of their own: the server that machines use, port 5037, is never touched."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Self

from fake_device.device import FakeDevice
from qgjob.children import free_port, wait_until


class Lab:
    """Its devices plug themselves in again and again, as emulators do, also at a server that was restarted.
    `environment` leads adb, and what runs it, to this server."""

    def __init__(self, folder: Path, adb: Path) -> None:
        self.adb = adb
        self.port = free_port()
        self._folder = folder
        self._devices: list[FakeDevice] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fake devices")
        self.environment = {
            "ANDROID_ADB_SERVER_PORT": str(self.port),
            "HOME": str(folder),
            "ADB_LOCAL_TRANSPORT_MAX_PORT": "5554",  # or it would find the emulators of others
            "ADB_MDNS": "0",
            "PATH": os.environ["PATH"],
        }

    def __enter__(self) -> Self:
        self._thread.start()
        self._announcing = asyncio.run_coroutine_threadsafe(self._announce(), self._loop)
        return self

    def __exit__(self, *_: object) -> None:
        self._announcing.cancel()
        for device in self._devices:
            self.unplug(device)
        self._end_server()
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def device(self, *, emulator: bool = True, plugged: bool = True, **properties: str) -> FakeDevice:
        """A device; `properties` with `_` for `.`, such as ro_product_model."""
        port = odd_port()
        device = FakeDevice(
            self._folder / f"device-{port}",
            port,
            emulator=emulator,
            properties={name.replace("_", "."): value for name, value in properties.items()},
        )
        self._devices.append(device)
        if plugged:
            self.plug(device)
        return device

    def plug(self, device: FakeDevice) -> None:
        self._do(device.plug())

    def unplug(self, device: FakeDevice) -> None:
        self._do(device.unplug())

    def run(self, *words: str, check: bool = True, timeout: float = 60) -> str:
        """adb by hand."""
        done = subprocess.run(
            [self.adb, *words],
            env=self.environment, capture_output=True, text=True, timeout=timeout, check=check,
        )  # fmt: skip
        return done.stdout

    def start_server(self) -> None:
        self.run("start-server")

    def is_listed(self, device: FakeDevice, state: str = "device") -> bool:
        return f"{device.serial}\t{state}" in self.run("devices")

    def wait(self, device: FakeDevice, state: str = "device") -> None:
        assert wait_until(lambda: self.is_listed(device, state), 30), self.run("devices")

    def _end_server(self) -> None:
        """Now and then one that was only just started waits for itself, and for ever."""
        try:
            self.run("kill-server", check=False, timeout=20)
        except subprocess.TimeoutExpired:
            for process in Path("/proc").glob("[0-9]*"):
                with contextlib.suppress(OSError):
                    if f"\0tcp:{self.port}\0" in (process / "cmdline").read_text():
                        os.kill(int(process.name), signal.SIGKILL)

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _end(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _announce(self) -> None:
        while True:
            for device in self._devices:
                if device.plugged and not device.connected:
                    with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
                        async with asyncio.timeout(2):
                            await self._tell_server(device)
            await asyncio.sleep(0.1)

    async def _tell_server(self, device: FakeDevice) -> None:
        what = f"host:emulator:{device.port}" if device.emulator else f"host:connect:127.0.0.1:{device.port}"
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(f"{len(what):04x}{what}".encode())
            await reader.read(4)
        finally:
            writer.close()


def odd_port() -> int:
    """As emulators have; the even one below is its console's."""
    while True:
        port = free_port()
        if port % 2:
            with socket.socket() as console:
                try:
                    console.bind(("127.0.0.1", port - 1))
                except OSError:
                    continue
            return port
