"""A client of HTTP that costs little: keep-alive connections that read no more of an answer than its length."""

import asyncio
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import msgspec

Body = Callable[[], object]


def rate_of_posts(url: str, body: Body, connections: int, seconds: float, token: str | None = None) -> float:
    """Answered requests per second; at least one for each connection."""
    return asyncio.run(_rate(url, body, connections, seconds, token))


async def _rate(url: str, body: Body, connections: int, seconds: float, token: str | None) -> float:
    begin = time.perf_counter()
    counts = await asyncio.gather(*(_client(url, body, begin + seconds, token) for _ in range(connections)))
    return sum(counts) / (time.perf_counter() - begin)


async def _client(url: str, body: Body, until: float, token: str | None) -> int:
    reader, writer = await asyncio.open_connection(urlsplit(url).hostname, urlsplit(url).port)
    count = 0
    try:
        while count == 0 or time.perf_counter() < until:
            await _post(reader, writer, url, msgspec.json.encode(body()), token)
            count += 1
    finally:
        writer.close()
    return count


async def _post(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, url: str, body: bytes, token: str | None
) -> None:
    """Raises RuntimeError where the answer is a refusal."""
    head = f"POST {urlsplit(url).path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    if token:
        head += f"authorization: Bearer {token}\r\n"
    writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
    answer = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(answer.partition(b"content-length: ")[2].partition(b"\r")[0])
    content = await reader.readexactly(length)
    if not answer.startswith(b"http/1.1 201"):
        raise RuntimeError(f"{url} answered {answer.splitlines()[0]!r}: {content!r}")
