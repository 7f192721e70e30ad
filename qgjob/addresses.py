"""HTTP to addresses that somebody else chose: workers fetch builds, the API calls webhooks. Both stand in networks
where not every address is for everybody.

A name is resolved once for a request, everything that it resolves to is judged, and the connection goes to exactly such
an address: a name that changes its mind in between (DNS rebinding) changes nothing. Here because it is the layer below
both; the client never imports it.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor

import httpx

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolver = Callable[[str, int], Awaitable[list[str]]]

# Carries an IPv4 address, in networks of IPv6 only, to whoever has it.
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# Not for the public, or leading through somebody else's tunnel, although Python (some before 3.11.9) calls some of them
# global: compatible and translated IPv4, local NAT64, 6to4 with its relays, Teredo, site-local, protocol assignments,
# documentation; and where virtual machines in Azure ask for their own secrets.
REFUSED = [
    ipaddress.ip_network(network)
    for network in (
        "::/96",
        "::ffff:0:0:0/96",
        "64:ff9b:1::/48",
        "2002::/16",
        "192.88.99.0/24",
        "2001::/32",
        "fec0::/10",
        "192.0.0.0/24",
        "3fff::/20",
        "168.63.129.16/32",
    )
]


class AddressRefused(Exception):
    """Nothing was sent: `address` is one that this request may not go to."""

    def __init__(self, host: str, address: str, why: str) -> None:
        super().__init__(why)
        self.host = host
        self.address = address


def judged(address: str) -> Address:
    """The address that is really reached: what an IPv4-mapped or NAT64 address carries, without a zone."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return found.ipv4_mapped
        if found in NAT64:
            return ipaddress.IPv4Address(int(found) & 0xFFFF_FFFF)
    return found


def is_public(address: str) -> bool:
    """Whether anybody on the internet could reach it too."""
    found = judged(address)
    if any(found.version == network.version and found in network for network in REFUSED):
        return False
    return found.is_global and not found.is_multicast and not found.is_reserved


def system_resolver(executor: Executor | None = None) -> Resolver:
    """The system's, in threads of `executor`, so that a name server that hangs holds up nobody else's requests."""

    async def resolve(host: str, port: int) -> list[str]:
        def look_up() -> list[str]:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            return list(dict.fromkeys(str(address[0]) for *_, address in found))

        return await asyncio.get_running_loop().run_in_executor(executor, look_up)

    return resolve


class PinnedTransport(httpx.AsyncBaseTransport):
    """Connects to an address that `check(url, address)` has let through, and to no other; it raises AddressRefused.

    Redirects and proxies are the client's affair: give it none. Each request has a connection of its own, because the
    pool underneath knows addresses only, and must not mix the names behind one of them.
    """

    def __init__(
        self, check: Callable[[httpx.URL, str], None], *, resolve: Resolver | None = None, retries: int = 0
    ) -> None:
        self._check = check
        self._resolve = resolve or system_resolver()
        self._inner = httpx.AsyncHTTPTransport(
            verify=httpx.create_ssl_context(),  # knows SSL_CERT_FILE, for authorities of one's own
            retries=retries,
            trust_env=False,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        addresses = await self._addresses(request)
        for place, address in enumerate(addresses, start=1):
            pinned = httpx.Request(
                request.method,
                request.url.copy_with(host=address),
                headers=request.headers,  # with the Host that was asked for
                stream=request.stream,
                extensions={**request.extensions, "sni_hostname": request.url.raw_host.decode()},
            )
            try:
                return await self._inner.handle_async_request(pinned)
            except (httpx.ConnectError, httpx.ConnectTimeout):  # nothing was sent: the next may be reachable
                if place == len(addresses):
                    raise
        raise AssertionError("a name has an address")

    async def _addresses(self, request: httpx.Request) -> list[str]:
        url = request.url
        host = url.raw_host.decode().strip("[]")
        try:
            found = await self._resolve(host, url.port or {"http": 80}.get(url.scheme, 443))
        except (OSError, UnicodeError) as error:  # a label that is too long is a UnicodeError
            why = getattr(error, "strerror", None) or "not a name that can be looked up"
            raise httpx.ConnectError(f"{host} cannot be resolved: {why}", request=request) from None
        if not found:
            raise httpx.ConnectError(f"{host} has no address", request=request)
        for address in found:
            self._check(url, address)
        return found

    async def aclose(self) -> None:
        await self._inner.aclose()
