"""Server-sent events as a browser reads them, and many clients that wait at the same time."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, NamedTuple

import httpx
import msgspec

BOUNDLESS = httpx.Limits(max_connections=None)


class Event(NamedTuple):
    """`name` is empty for a comment."""

    name: str
    id: int
    data: Any


def client(url: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=url, timeout=60, limits=BOUNDLESS, trust_env=False)


async def events(http: httpx.AsyncClient, path: str, last: int | None = None) -> AsyncGenerator[Event]:
    """Until the server ends them."""
    headers = {} if last is None else {"Last-Event-ID": str(last)}
    async with http.stream("GET", path, headers=headers) as response:
        response.raise_for_status()
        fields: dict[str, str] = {}
        async for line in response.aiter_lines():
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
            else:
                if "data" in fields:
                    yield Event(fields["event"], int(fields["id"]), msgspec.json.decode(fields["data"]))
                elif "retry" not in fields:
                    yield Event("", 0, None)
                fields = {}


async def ended(http: httpx.AsyncClient, path: str) -> Any:
    """The document once it has ended, by long-polls, through outages, as the command line waits."""
    seq = -1
    while True:
        try:
            answer = await http.get(path, params={"wait": 25, "after_seq": seq})
        except httpx.TransportError:
            continue
        if answer.status_code == 503:
            await asyncio.sleep(0.05)
            continue
        document = answer.raise_for_status().json()
        if document["finished_at"]:
            return document
        seq = document["seq"]
