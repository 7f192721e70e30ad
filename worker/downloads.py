"""Files from http(s) addresses that somebody else chose. A worker stands in a network where not every address is for
everybody, so those that are not public are asked only where an admin has listed their host in QGJOB_BUILD_HOSTS."""

import os
from collections.abc import AsyncGenerator
from urllib.parse import urlsplit

import httpx

from qgjob.addresses import AddressRefused, PinnedTransport, is_public
from worker.batch import PrepareError

PIECE = 1 << 20
REDIRECTS = 5
TIMEOUT = httpx.Timeout(60.0, connect=15.0)


class Unreachable(PrepareError):
    """Nobody answers there, or not as they should: that may pass."""

    def __init__(self, url: str, why: str) -> None:
        super().__init__(f"The build at {shown(url)} cannot be fetched: {why}.", "source")


async def pieces(url: str) -> AsyncGenerator[bytes]:
    """The body, exactly as it is stored there. Raises PrepareError."""
    headers = {"accept-encoding": "identity", "user-agent": "qgjob-worker"}
    # Neither proxies nor netrc: what is checked is the address that is really asked.
    transport = PinnedTransport(_require_public, retries=2)
    at = url
    try:
        async with httpx.AsyncClient(transport=transport, timeout=TIMEOUT, headers=headers, trust_env=False) as client:
            for _ in range(REDIRECTS + 1):
                _check_scheme(at)
                async with client.stream("GET", at) as response:
                    if response.next_request is not None:
                        at = str(response.next_request.url)
                        continue
                    _check_status(at, response.status_code)
                    async for piece in response.aiter_raw(PIECE):
                        yield piece
                    return
    except AddressRefused as error:
        # Whoever submits chooses the address: it must not count against the device, which may be everybody's.
        raise PrepareError(f"The build at {shown(at)} {error}", "source") from None
    except httpx.InvalidURL as error:
        raise PrepareError(f"The build at {shown(at)} cannot be fetched: {error}.", "app") from None
    except (httpx.HTTPError, OSError) as error:
        raise Unreachable(url, str(error) or type(error).__name__) from None
    raise PrepareError(f"The build at {shown(url)} cannot be fetched: more than {REDIRECTS} redirects.", "app")


def shown(url: str) -> str:
    """Without the query, where signed addresses carry their secret, and without user and password."""
    parts = urlsplit(url)
    if not parts.scheme:
        return url
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _check_scheme(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise PrepareError(f"The build leads to {shown(url)}, which is not http(s).", "app")


def _check_status(url: str, status: int) -> None:
    if not 200 <= status < 300:
        if status in (408, 425, 429) or status >= 500:
            raise Unreachable(url, f"HTTP {status}")
        raise PrepareError(f"The build at {shown(url)} cannot be fetched: HTTP {status}.", "app")


def _is_listed(host: str) -> bool:
    listed = os.environ.get("QGJOB_BUILD_HOSTS", "").lower().split(",")
    return host.lower() in (name.strip() for name in listed if name.strip())


def _require_public(url: httpx.URL, address: str) -> None:
    if not _is_listed(url.host) and not is_public(address):
        raise AddressRefused(
            url.host,
            address,
            f"is not at a public address ({address}). "
            "If workers may fetch from there, list its host in their QGJOB_BUILD_HOSTS.",
        )
