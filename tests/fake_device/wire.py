"""adbd's wire protocol, the device's side of one connection.
Source: packages/modules/adb/protocol.txt and SHELL v2 in shell_protocol.h of the Android Open Source Project."""

import asyncio
import struct
from collections.abc import Awaitable, Callable

CNXN, AUTH, OPEN, OKAY, WRTE, CLSE = (
    int.from_bytes(name, "little") for name in (b"CNXN", b"AUTH", b"OPEN", b"OKAY", b"WRTE", b"CLSE")
)
SIGNATURE = 2  # of AUTH
VERSION, MAX_PAYLOAD = 0x01000001, 256 * 1024
HEADER = struct.Struct("<6I")


class Stream:
    """One service that the host has opened. `read` gives what the host sends; b"" once it has closed its side."""

    def __init__(self, connection: "Connection", local: int, remote: int) -> None:
        self._connection, self._local, self._remote = connection, local, remote
        self._incoming: asyncio.Queue[bytes] = asyncio.Queue()
        self._acknowledged = asyncio.Event()
        self._left = b""
        self._ended = False

    async def read(self, size: int) -> bytes:
        while not self._left and not self._ended:
            await self._more()
        taken, self._left = self._left[:size], self._left[size:]
        return taken

    async def exactly(self, size: int) -> bytes:
        while len(self._left) < size and not self._ended:
            await self._more()
        if len(self._left) < size:
            raise EOFError
        return await self.read(size)

    async def write(self, data: bytes) -> None:
        for start in range(0, len(data), MAX_PAYLOAD):
            self._acknowledged.clear()
            self._connection.send(WRTE, self._local, self._remote, data[start : start + MAX_PAYLOAD])
            await self._acknowledged.wait()

    def close(self) -> None:
        self._connection.send(CLSE, self._local, self._remote)

    def received(self, command: int, data: bytes) -> None:
        if command == OKAY:
            self._acknowledged.set()
        elif command == CLSE:
            self._acknowledged.set()
            self._incoming.put_nowait(b"")
        else:
            self._incoming.put_nowait(data)

    async def _more(self) -> None:
        data = await self._incoming.get()
        self._ended = not data
        if data:
            self._connection.send(OKAY, self._local, self._remote)
            self._left += data


class Connection:
    """A host that has connected. `serve` answers it until it goes, one task for each service that it opens."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._streams: dict[int, Stream] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def send(self, command: int, first: int, second: int, data: bytes = b"") -> None:
        header = HEADER.pack(command, first, second, len(data), sum(data) & 0xFFFFFFFF, command ^ 0xFFFFFFFF)
        if not self._writer.is_closing():
            self._writer.write(header + data)

    async def received(self) -> tuple[int, int, int, bytes]:
        command, first, second, length, _, _ = HEADER.unpack(await self._reader.readexactly(HEADER.size))
        return command, first, second, await self._reader.readexactly(length)

    async def serve(self, banner: str, open_service: Callable[[str, Stream], Awaitable[None]]) -> None:
        """Raises IncompleteReadError or OSError when the connection ends."""
        try:
            while True:
                command, first, second, data = await self.received()
                if command == CNXN:
                    self.send(CNXN, VERSION, MAX_PAYLOAD, banner.encode())
                elif command == OPEN:
                    stream = self._streams[first] = Stream(self, first, first)
                    self.send(OKAY, first, first)
                    task = asyncio.create_task(open_service(data.rstrip(b"\0").decode(), stream))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
                elif stream_of := self._streams.get(second):
                    stream_of.received(command, data)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self._writer.close()
