"""The names of receivers are looked up in threads. No time limit ends such a look-up: its thread is taken until the
system gives up, long after everybody has stopped waiting. So it counts as its holder's until then."""

import asyncio
import ipaddress
from collections.abc import Hashable
from concurrent.futures import ThreadPoolExecutor

from qgjob.addresses import Resolver, system_resolver


class Names:
    """A holder has one look-up at a time: with as many threads as holders none waits for another's."""

    def __init__(self, threads: int, resolve: Resolver | None = None) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="webhook-names")
        self._resolve = resolve or system_resolver(self._threads)
        self._running: dict[Hashable, asyncio.Future[list[str]]] = {}

    async def look_up(self, holder: Hashable, host: str, port: int) -> list[str]:
        """The addresses. Raises OSError, or UnicodeError for what cannot be a name."""
        if is_address(host):
            return [host]
        await self.rest(holder)
        look_up = asyncio.ensure_future(self._resolve(host, port))
        self._running[holder] = look_up

        def ended(_: asyncio.Future[list[str]]) -> None:
            del self._running[holder]
            if not look_up.cancelled():
                look_up.exception()  # perhaps nobody waits for it any longer

        look_up.add_done_callback(ended)
        return await asyncio.shield(look_up)

    async def rest(self, holder: Hashable) -> None:
        """Until the holder has no look-up under way."""
        while look_up := self._running.get(holder):
            await asyncio.wait([look_up])

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
