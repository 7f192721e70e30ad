"""One signed POST to a webhook's url. It goes to public addresses over https, or to those that an admin allows in
QGJOB_WEBHOOK_ALLOW; it follows no redirect, is over after a time limit whatever the receiver does, and reads of the
answer nothing but its head."""

import asyncio
import base64
import hashlib
import hmac
import ipaddress
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from http import HTTPStatus

import httpx
from msgspec import Struct

from api.names import Names
from api.notifiers import NotDelivered
from qgjob import __version__
from qgjob.addresses import AddressRefused, PinnedTransport, Resolver, is_public, judged
from qgjob.errors import Usage
from qgjob.transport import retry_after_s

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
CONNECT_S = 5.0
AT_ONCE = 32  # deliveries, and so threads for their look-ups
CHECKS_AT_ONCE = 8
CHECK_S = 3.0


class WebhookSettings(Struct, frozen=True):
    """`public_url`: where people reach this service, for links. `limit_s` is of one delivery, all in all."""

    allowed: Sequence[Network] = ()
    public_url: str | None = None
    limit_s: int = 20


def read_settings(environment: Mapping[str, str] = os.environ) -> WebhookSettings:
    """Raises Usage."""
    try:
        names = environment.get("QGJOB_WEBHOOK_ALLOW", "").split(",")
        allowed = [ipaddress.ip_network(name.strip()) for name in names if name.strip()]
    except ValueError as error:
        raise Usage(f"QGJOB_WEBHOOK_ALLOW is networks such as 10.0.0.0/8,::1/128: {error}") from None
    public_url = environment.get("QGJOB_PUBLIC_URL", "").rstrip("/") or None
    if public_url is not None and not public_url.startswith(("http://", "https://")):
        raise Usage("QGJOB_PUBLIC_URL is where people reach this API, such as https://qgjob.example.com")
    limit = environment.get("QGJOB_WEBHOOK_TIMEOUT_S") or "20"
    if not (limit.isascii() and limit.isdigit() and 1 <= int(limit) <= 45):  # a claim lasts 60
        raise Usage("QGJOB_WEBHOOK_TIMEOUT_S is a whole number of seconds from 1 to 45")
    return WebhookSettings(allowed, public_url, int(limit))


def signature(secrets: Sequence[str], message_id: str, timestamp: int, body: bytes) -> str:
    """One `v1,…` for each secret that is valid now, as the Standard Webhooks specification has it."""
    content = b"%s.%d.%s" % (message_id.encode(), timestamp, body)
    keys = (base64.b64decode(secret.removeprefix("whsec_") + "==") for secret in secrets)
    return " ".join(f"v1,{base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()}" for key in keys)


class Sender:
    """Use it as `async with`."""

    def __init__(self, allowed: Sequence[Network], *, resolve: Resolver | None = None) -> None:
        self._allowed = allowed
        self._names = Names(AT_ONCE, resolve)
        self._names_to_check = Names(CHECKS_AT_ONCE, resolve)  # apart: what somebody tries out delays no delivery
        self._http = httpx.AsyncClient(
            transport=PinnedTransport(self._check, resolve=self._resolve),
            timeout=httpx.Timeout(60.0, connect=CONNECT_S),  # who calls has a limit for everything together
            headers={"user-agent": f"qgjob/{__version__}"},
            follow_redirects=False,
            trust_env=False,
        )

    async def __aenter__(self) -> "Sender":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()
        self._names.close()
        self._names_to_check.close()

    async def _resolve(self, host: str, port: int) -> list[str]:
        return await self._names.look_up(asyncio.current_task(), host, port)

    async def rest(self) -> None:
        """Until no name that this task has asked for, and may have given up, takes a thread."""
        await self._names.rest(asyncio.current_task())

    async def post(
        self, url: str, message_id: str, at: datetime, secrets: Sequence[str], body: bytes, content_type: str
    ) -> int:
        """The status code, which is 2xx. Raises NotDelivered, which repeats nothing that the receiver said: with it,
        services inside could be read from outside."""
        timestamp = int(at.timestamp())
        headers = {
            "content-type": content_type,
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature(secrets, message_id, timestamp, body),
        }
        try:
            async with self._http.stream("POST", url, content=body, headers=headers) as response:
                status, retry_after = response.status_code, response.headers.get("retry-after")
        except AddressRefused as refused:
            raise NotDelivered(str(refused)) from None
        except httpx.ConnectTimeout:
            raise NotDelivered("It could not be connected to in time.") from None
        except httpx.ConnectError as error:
            raise NotDelivered(f"It could not be connected to: {str(error)[:200] or 'refused'}.") from None
        except httpx.TimeoutException:
            raise NotDelivered("It did not answer in time.") from None
        except (httpx.HTTPError, httpx.InvalidURL, ValueError):
            raise NotDelivered("It did not answer in HTTP, or broke off.") from None
        if 200 <= status < 300:
            return status
        raise NotDelivered(in_words(status), status_code=status, retry_after_s=retry_after_s(retry_after))

    async def check(self, url: str, org_id: str | None) -> None:
        """Raises AddressRefused where nothing would ever be sent. A name that has no address yet may get one, and what
        is not known in time is judged when it is sent. One after the other for an organisation, or names that hang
        would take the threads of all."""
        try:
            parts = httpx.URL(url)
            if parts.scheme != "https" and not self._allowed:
                raise AddressRefused(parts.host, "", in_the_clear(parts))
            host = parts.raw_host.decode().strip("[]")
            async with asyncio.timeout(CHECK_S):
                found = await self._names_to_check.look_up(org_id, host, parts.port or 443)
        except (OSError, UnicodeError, httpx.InvalidURL):  # TimeoutError is an OSError
            return
        for address in found:
            self._check(parts, address)

    def _check(self, url: httpx.URL, address: str) -> None:
        really = judged(address)
        if any(really.version == network.version and really in network for network in self._allowed):
            return
        if not is_public(address):
            raise AddressRefused(
                url.host,
                address,
                f"{url.host} is not at a public address, and not at one that QGJOB_WEBHOOK_ALLOW lists.",
            )
        if url.scheme != "https":
            raise AddressRefused(url.host, address, in_the_clear(url))


def in_the_clear(url: httpx.URL) -> str:
    return f"{url.host} is asked over https only: the url begins with http."


def in_words(status: int) -> str:
    """Not in the receiver's words."""
    if 300 <= status < 400:
        return f"It answered HTTP {status}: redirects are not followed, give the url that it leads to."
    try:
        return f"It answered HTTP {status} {HTTPStatus(status).phrase}."
    except ValueError:
        return f"It answered HTTP {status}."
