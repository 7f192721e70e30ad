"""Files from http(s) addresses that somebody else chose. A worker stands in a network where not every address is for
everybody, so those that are not public are asked only where an admin has listed their host in QGJOB_BUILD_HOSTS."""

import asyncio
import ipaddress
import os
import socket
from collections.abc import AsyncGenerator
from typing import Any
from urllib.parse import urlsplit

import httpx

from worker.batch import PrepareError

PIECE = 1 << 20
REDIRECTS = 5
TIMEOUT = httpx.Timeout(60.0, connect=15.0)


async def pieces(url: str) -> AsyncGenerator[bytes]:
    """The body, exactly as it is stored there. Raises PrepareError."""
    headers = {"accept-encoding": "identity", "user-agent": "qgjob-worker"}
    # Neither proxies nor netrc: what is checked here is the address that is really asked.
    transport = httpx.AsyncHTTPTransport(retries=2)
    try:
        async with httpx.AsyncClient(transport=transport, timeout=TIMEOUT, headers=headers, trust_env=False) as client:
            at = url
            for _ in range(REDIRECTS + 1):
                await _check_name(at)
                async with client.stream("GET", at) as response:
                    _check_peer(at, response)
                    if response.next_request is not None:
                        at = str(response.next_request.url)
                        continue
                    _check_status(at, response.status_code)
                    async for piece in response.aiter_raw(PIECE):
                        yield piece
                    return
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        why = str(error) or type(error).__name__
        raise PrepareError(f"The build at {shown(url)} cannot be fetched: {why}.", "provider") from None
    raise PrepareError(f"The build at {shown(url)} cannot be fetched: more than {REDIRECTS} redirects.", "app")


def shown(url: str) -> str:
    """Without the query, where signed addresses carry their secret, and without user and password."""
    parts = urlsplit(url)
    if not parts.scheme:
        return url
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


async def _check_name(url: str) -> None:
    """Before anything is sent."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise PrepareError(f"The build leads to {shown(url)}, which is not http(s).", "app")
    if _is_listed(parts.hostname):
        return
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(parts.hostname, parts.port or parts.scheme, type=socket.SOCK_STREAM)
    for *_, address in found:
        _require_public(url, str(address[0]))


def _check_peer(url: str, response: httpx.Response) -> None:
    """Before anything is read: the name may have changed its address meanwhile."""
    stream: Any = response.extensions["network_stream"]
    if not _is_listed(response.url.host):
        _require_public(url, str(stream.get_extra_info("server_addr")[0]))


def _check_status(url: str, status: int) -> None:
    if not 200 <= status < 300:
        passing = status in (408, 425, 429) or status >= 500
        raise PrepareError(
            f"The build at {shown(url)} cannot be fetched: HTTP {status}.", "provider" if passing else "app"
        )


def _is_listed(host: str) -> bool:
    listed = os.environ.get("QGJOB_BUILD_HOSTS", "").lower().split(",")
    return host.lower() in (name.strip() for name in listed if name.strip())


def _require_public(url: str, address: str) -> None:
    found = ipaddress.ip_address(address.partition("%")[0])
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    if not (mapped or found).is_global or found.is_multicast:
        raise PrepareError(
            f"The build at {shown(url)} is not at a public address ({address}). "
            "If workers may fetch from there, list its host in their QGJOB_BUILD_HOSTS.",
            "config",
        )
