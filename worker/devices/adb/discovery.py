"""Which devices can work: what adb's server lists, less what is not ready, of another kind, or out of reach."""

import asyncio
import contextlib
import logging
import os
import re
from collections.abc import AsyncGenerator

from qgjob.models.words import Target
from worker.devices import DeviceSpec, Options
from worker.devices.adb import exclusive
from worker.devices.adb.client import Adb, AdbError, unreachable

log = logging.getLogger("worker")
# A server that is restarted, or a loose cable, makes devices blink. Who runs a test meanwhile notices by itself.
GONE_AFTER_S = 3.0
LOOK_AGAIN_S = 1.0
FIRST_LOOK_S = 5.0
LONGEST_PAUSE_S = 10.0
OLDEST_SDK = 24  # Android 7: before it, adb does not tell a command's exit code, and there is no sha256sum
_PROPERTY = re.compile(r"^\[([^\]]+)\]: \[(.*)\]$", re.MULTILINE)


def device_name(worker: str, serial: str) -> str:
    """As it appears everywhere: short, and one word."""
    return re.sub(r"[^\w.:-]+", "-", f"{worker}-{serial}")[:128]


class Discovery:
    def __init__(self, adb: Adb, options: Options) -> None:
        self._adb = adb
        self._options = options
        self._serials: dict[str, str] = {}
        self._ready: dict[str, DeviceSpec] = {}
        self._looks: dict[str, asyncio.Task[None]] = {}
        self._leaving: dict[str, asyncio.TimerHandle] = {}
        self._held: dict[str, int] = {}
        self._said: dict[str, str] = {}
        self._listed = asyncio.Event()
        self._changed = asyncio.Event()

    def serial(self, device: str) -> str | None:
        """Of a device by its name, if it was ever seen."""
        return self._serials.get(device)

    async def watch(self) -> AsyncGenerator[list[DeviceSpec], None]:
        following = asyncio.create_task(self._follow())
        following.add_done_callback(lambda _: self._changed.set())
        told: list[DeviceSpec] | None = None
        try:
            await self._first_look()
            while True:
                self._changed.clear()
                usable = [spec for _, spec in sorted(self._ready.items())]
                if usable != told:
                    yield usable
                    told = usable
                await self._changed.wait()
                if following.done():
                    following.result()  # it never ends: this raises
        finally:
            tasks = [following, *self._looks.values()]
            for task in tasks:
                task.cancel()
            for timer in self._leaving.values():
                timer.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for serial in list(self._held):
                self._let_go(serial)

    async def _first_look(self) -> None:
        """The first answer holds what is there already, unless adb or a device keeps us waiting."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_LOOK_S):
                await self._listed.wait()
                if self._looks:
                    await asyncio.wait(self._looks.values())

    async def _follow(self) -> None:
        """Hear of every change from adb's server; start it where it is not running, again and again."""
        pause = 0.1
        while True:
            try:
                await self._start_server()
                async for states in self._lists():
                    pause = 0.1
                    self._say("adb", "")
                    self._see(states)
                self._say("adb", "its server went away; starting it again")
            except AdbError as error:
                self._say("adb", f"{error} Trying again.")
            self._see({})
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_S)

    async def _start_server(self) -> None:
        """To its end, also when this is cancelled: a server whose start was cut off may wait for itself, and for ever,
        with every adb of the machine."""
        starting = asyncio.create_task(self._adb.run("start-server", limit_s=30))
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            await asyncio.gather(starting, return_exceptions=True)
            raise

    async def _lists(self) -> AsyncGenerator[dict[str, str], None]:
        """What `adb track-devices` prints: the whole list at each change, its length before it as four hex digits."""
        async with self._adb.started("track-devices") as process:
            stdout, stderr = process.stdout, process.stderr
            if stdout is None or stderr is None:
                return  # never: both are pipes
            try:
                while True:
                    length = int(await stdout.readexactly(4), 16)
                    lines = (await stdout.readexactly(length)).decode(errors="replace").splitlines()
                    yield dict(line.split("\t", 1) for line in lines if "\t" in line)
            except asyncio.IncompleteReadError:
                if words := (await stderr.read()).decode(errors="replace").strip():
                    raise AdbError(f"adb track-devices: {words[-300:]}") from None
            except ValueError:
                raise AdbError("adb track-devices answers in a way that is not known.") from None

    def _see(self, states: dict[str, str]) -> None:
        for serial in [serial for serial in self._looks if states.get(serial) != "device"]:
            if serial not in self._leaving:
                loop = asyncio.get_running_loop()
                self._leaving[serial] = loop.call_later(GONE_AFTER_S, self._drop, serial)
        for serial, state in states.items():
            if state != "device":
                why = unreachable(serial, f"device {state}") or unreachable(serial, state)
                self._say(serial, why or f"{serial} is in the state {state!r}.")
            elif timer := self._leaving.pop(serial, None):
                timer.cancel()
            elif serial not in self._looks:
                self._looks[serial] = asyncio.create_task(self._look(serial))
        self._listed.set()

    def _drop(self, serial: str) -> None:
        del self._leaving[serial]
        self._looks.pop(serial).cancel()
        self._said.pop(serial, None)
        self._let_go(serial)
        if self._ready.pop(serial, None):
            self._changed.set()

    async def _look(self, serial: str) -> None:
        """Until it has booted; then it is ready, or another worker's affair."""
        while True:
            try:
                found = dict(_PROPERTY.findall((await self._adb.shell(serial, "getprop")).text))
            except AdbError as error:
                self._say(serial, str(error))
            else:
                if found.get("sys.boot_completed") == "1":
                    break
                self._say(serial, f"{serial} is still booting.")
            await asyncio.sleep(LOOK_AGAIN_S)
        sdk = found.get("ro.build.version.sdk", "")
        if _kind(serial, found) != self._options.target:
            return
        if sdk.isdigit() and int(sdk) < OLDEST_SDK:
            self._say(serial, f"{serial} has Android API level {sdk}, and {OLDEST_SDK} is the oldest that can be used.")
            return
        while (held := exclusive.hold(serial)) is None:
            self._say(serial, f"{serial} is driven by another worker on this machine. Waiting for it.")
            await asyncio.sleep(LOOK_AGAIN_S)
        self._held[serial] = held
        name = device_name(self._options.name, serial)
        labels = {
            "platform": "android",
            "serial": serial,
            "model": found.get("ro.product.model", ""),
            "release": found.get("ro.build.version.release", ""),
            "sdk": sdk,
        }
        self._serials[name] = serial
        self._ready[serial] = DeviceSpec(name, self._options.target, labels | self._options.labels)
        self._say(serial, "")
        self._changed.set()

    def _let_go(self, serial: str) -> None:
        if (held := self._held.pop(serial, None)) is not None:
            os.close(held)

    def _say(self, about: str, words: str) -> None:
        """Once, until there is something else to say."""
        if words and self._said.get(about) != words:
            log.warning("%s", words if words.startswith(about) else f"{about}: {words}")
        self._said[about] = words


def _kind(serial: str, properties: dict[str, str]) -> Target:
    qemu = properties.get("ro.kernel.qemu") == "1" or properties.get("ro.boot.qemu") == "1"
    return "emulator" if qemu or serial.startswith("emulator-") else "device"
