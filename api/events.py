"""Server-sent events of a run or job: the seq of each state that is sent is its id, and Last-Event-ID goes on there."""

import asyncio
import random
from collections.abc import AsyncGenerator
from typing import Annotated, Any

import psycopg
from litestar import Response
from litestar.params import HeaderParameter
from litestar.response import Stream
from litestar.response.sse import ServerSentEventMessage
from psycopg_pool import PoolTimeout

from api.parameters import LARGEST
from api.problems import Unauthenticated
from api.watches import Document, Waiter

# Below the idle limits of common proxies, and what finds out that a reader is gone.
HEARTBEAT_S = 15.0
OUTAGE_S = 1.0
LastEventId = Annotated[int, HeaderParameter(name="Last-Event-ID", ge=-1, le=LARGEST)]
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # the second: nginx must not collect them


async def stream(waiter: Waiter[Document], key: int, event: str, after_seq: int) -> Response[Any]:
    """Until it has ended, or the caller is no longer admitted. No content where all was seen: that is what tells
    browsers not to come back."""
    async with waiter.of(key) as watched:
        if watched.ended and watched.seq <= after_seq:
            return Response(None, status_code=204)
    sent = states(waiter, key, event, after_seq)
    return Stream(sent, media_type="text/event-stream", headers=HEADERS)


async def states(waiter: Waiter[Document], key: int, event: str, after_seq: int) -> AsyncGenerator[bytes]:
    # Clients that are cut off together shall not come back together.
    yield ServerSentEventMessage(data=None, retry=random.randint(500, 3000)).encode()  # noqa: S311
    async with waiter.of(key) as watched:
        while not waiter.leaving:
            try:
                changed = await waiter.beyond(watched, after_seq, HEARTBEAT_S)
            except Unauthenticated:
                return
            except (psycopg.Error, PoolTimeout):  # nobody can tell: nothing is said that only some may know
                yield ServerSentEventMessage(data=None, comment="").encode()
                await asyncio.sleep(OUTAGE_S)
                continue
            if changed:
                after_seq = watched.seq
                yield ServerSentEventMessage(data=watched.json, event=event, id=after_seq).encode()
            elif not watched.ended and not waiter.leaving:
                yield ServerSentEventMessage(data=None, comment="").encode()
            if watched.ended and watched.seq <= after_seq:
                return
