"""One fake device: what it answers a host, and the faults that a test can switch on."""

import asyncio
import contextlib
import json
import os
import shlex
import signal
import struct
import sys
from pathlib import Path
from typing import Any, Literal

from fake_device.wire import AUTH, CNXN, SIGNATURE, Connection, Stream

Fault = Literal["vanish", "hang"]
SYSTEM = Path(__file__).with_name("system.py")
TOOLS = ("am", "cmd", "dumpsys", "df", "getprop", "logcat", "pm", "screencap", "settings")
AS_NEW: dict[str, Any] = {
    "battery": {"present": "true", "level": "87", "temperature": "251"},
    "free_kb": 4_000_000,
    "airplane_mode": "0",
    "install_failures": [],
    "uninstall_fails": False,
    "corrupts_installs": False,
    "screen_is_black": False,
}


class FakeDevice:
    """Attributes may be set from the test's thread at any time. `root` is its file system."""

    def __init__(self, root: Path, port: int, *, emulator: bool, properties: dict[str, str]) -> None:
        self.root, self.port, self.emulator = root, port, emulator
        self.serial = f"emulator-{port - 1}" if emulator else f"127.0.0.1:{port}"
        self.handshake: Literal["accepted", "unauthorized", "offline"] = "accepted"
        # What happens when the host opens a service whose name holds the key; an install breaks off in its middle.
        self.faults: dict[str, Fault] = {}
        self.features = "shell_v2,cmd,stat_v2,ls_v2,fixed_push_mkdir,abb,abb_exec"
        self.connected = False
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        (root / "bin").mkdir(parents=True)
        (root / "tmp").mkdir()
        for tool in TOOLS:
            script = root / "bin" / tool
            script.write_text(f'#!/bin/sh\nexec {sys.executable} -IS {SYSTEM} {root} {tool} "$@"\n')
            script.chmod(0o755)
        self._properties = {
            "ro.product.model": "Fake 8",
            "ro.build.version.release": "14",
            "ro.build.version.sdk": "34",
            "ro.kernel.qemu": "1" if emulator else "",
            "sys.boot_completed": "1",
        } | properties
        self.set(**AS_NEW)
        self.boot(booted=True)

    def set(self, **values: Any) -> None:
        """`battery` {level, temperature, present}, `free_kb`, `airplane_mode`, `install_failures`: one after the other,
        `corrupts_installs`, `uninstall_fails`, `screen_is_black`."""
        path = self.root / "state.json"
        state = json.loads(path.read_text()) if path.exists() else {}
        path.with_suffix(".new").write_text(json.dumps(state | values))
        path.with_suffix(".new").rename(path)

    def boot(self, *, booted: bool) -> None:
        """Whether Android has started."""
        self._properties["sys.boot_completed"] = "1" if booted else ""
        self.set(properties=self._properties)

    def has(self, package: str, content: bytes = b"of an earlier time", *, system: bool = False) -> None:
        """A package that is there from the beginning."""
        path = self.root / "app" / package / "base.apk"
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
        if system:
            (path.parent / "system").touch()

    def has_package(self, package: str) -> bool:
        return (self.root / "app" / package).exists()

    def log(self, text: str, at: float) -> None:
        """A line of its log, written at that time."""
        with (self.root / "log").open("a") as log:
            log.write(f"{at:.3f} {text}\n")

    @property
    def events(self) -> list[str]:
        """What happened to its packages: `install com.example`, `clear com.example` …"""
        path = self.root / "events"
        return path.read_text().splitlines() if path.exists() else []

    def count(self, kind: str) -> int:
        return sum(event.split()[0] == kind for event in self.events)

    async def plug(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def unplug(self) -> None:
        if self._server:
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            writer.transport.abort()

    @property
    def plugged(self) -> bool:
        return self._server is not None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        connection = Connection(reader, writer)
        try:
            self.connected = True
            if self.handshake == "accepted":
                names = "ro.product.name=fake;ro.product.model=Fake_8;ro.product.device=fake"
                await connection.serve(f"device::{names};features={self.features}", self._open)
            while True:
                command, kind, *_ = await connection.received()
                # A token to sign; no signature is good enough, and whoever is asked on the screen does not answer.
                if self.handshake == "unauthorized" and (command == CNXN or (command == AUTH and kind == SIGNATURE)):
                    connection.send(AUTH, 1, 0, os.urandom(20))
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            self.connected = False
            self._writers.discard(writer)
            writer.close()

    async def _open(self, service: str, stream: Stream) -> None:
        plain = service.replace("\0", " ").replace("'", "")
        fault = next((fault for part, fault in self.faults.items() if part in plain), None)
        if fault:
            if "package install" in plain:
                await stream.read(1)
            if fault == "vanish":
                await self.unplug()
            await asyncio.Event().wait()
        kind, _, command = service.partition(":")
        if kind == "sync":
            await self._sync(stream)
        elif kind in ("abb", "abb_exec"):
            await self._run(stream, f"cmd {shlex.join(command.split(chr(0)))}", v2=kind == "abb")
        elif kind == "exec":
            await self._run(stream, command, v2=False)
        elif kind.split(",")[0] == "shell":
            await self._run(stream, command, v2="v2" in kind)
        stream.close()

    async def _run(self, stream: Stream, line: str, *, v2: bool) -> None:
        """A line for the shell of the device, its streams one after the other as v2 or as they come."""
        process = await asyncio.create_subprocess_exec(
            "/bin/sh",
            "-c",
            line,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE if v2 else asyncio.subprocess.STDOUT,
            env={"PATH": f"{self.root}/bin:/usr/bin:/bin"},
            cwd=self.root,
            start_new_session=True,
        )
        assert process.stdin
        assert process.stdout
        feeding = asyncio.create_task(self._feed(stream, process.stdin, v2=v2))
        out = asyncio.create_task(self._forward(process.stdout, stream, 1 if v2 else None))
        try:
            if process.stderr:
                await self._forward(process.stderr, stream, 2)
            await out
            code = await process.wait()
            if v2:
                await stream.write(b"\x03" + struct.pack("<I", 1) + bytes([code & 0xFF]))
        finally:
            feeding.cancel()
            out.cancel()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()

    async def _feed(self, stream: Stream, stdin: asyncio.StreamWriter, *, v2: bool) -> None:
        with contextlib.suppress(OSError, EOFError):
            while True:
                if v2:
                    kind, length = struct.unpack("<BI", await stream.exactly(5))
                    data = await stream.exactly(length)
                    if kind == 3 or kind == 4:
                        break
                    if kind != 0:
                        continue
                else:
                    data = await stream.read(64 * 1024)
                    if not data:
                        break
                stdin.write(data)
                await stdin.drain()
            stdin.close()

    async def _forward(self, source: asyncio.StreamReader, stream: Stream, kind: int | None) -> None:
        while data := await source.read(64 * 1024):
            await stream.write(data if kind is None else struct.pack("<BI", kind, len(data)) + data)

    async def _sync(self, stream: Stream) -> None:
        """`adb push` into the device's folder `tmp`, whatever the folder it names."""
        with contextlib.suppress(EOFError):
            while True:
                request, length = struct.unpack("<4sI", await stream.exactly(8))
                if request == b"QUIT":
                    return
                if request == b"SEND":
                    name = (await stream.exactly(length)).decode().rpartition(",")[0]
                    await self._take_file(stream, self.root / "tmp" / Path(name).name)
                elif request in (b"STAT", b"LST2", b"STA2"):
                    await stream.exactly(length)
                    is_v1 = request == b"STAT"
                    await stream.write(request + (bytes(12) if is_v1 else struct.pack("<I", 2) + bytes(64)))

    async def _take_file(self, stream: Stream, path: Path) -> None:
        content = bytearray()
        while True:
            part, length = struct.unpack("<4sI", await stream.exactly(8))
            if part == b"DONE":
                break
            content += await stream.exactly(length)
        path.write_bytes(content)  # noqa: ASYNC240  a small file, for nobody else
        await stream.write(b"OKAY" + bytes(4))
