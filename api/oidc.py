"""What a job of GitHub Actions says of itself, verified: signature, issuer and audience here, the rest in SQL.

The issuer's keys are kept for some minutes. A key that is not among them has perhaps just been rotated, so they are
fetched again, but forged tokens do not make this server ask more often than a few times a minute.
"""

import asyncio
import logging
import time
from collections import deque
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
import jwt
import msgspec
from jwt.types import Options

from api.problems import Unauthenticated, Unavailable
from qgjob.errors import Usage
from qgjob.transport import is_loopback

log = logging.getLogger("api")
GITHUB = "https://token.actions.githubusercontent.com"
KEPT_S = 600.0
FETCHES_PER_MINUTE = 5
LARGEST_ANSWER = 1_000_000
Document = TypeVar("Document")
# Times are checked by PostgreSQL's clock, not by this one's.
UNCHECKED: Options = {
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
    "require": ["exp", "iat", "jti", "iss", "aud"],
}


class Keys(msgspec.Struct):
    """The document of the issuer's keys."""

    keys: list[dict[str, Any]]


class Discovery(msgspec.Struct):
    issuer: str
    jwks_uri: str


class Unfetchable(Exception):
    """The issuer's keys could not be had."""


class Issuer:
    """One issuer, and the audience that tokens for this server name. Raises Usage."""

    def __init__(self, url: str, audience: str) -> None:
        if urlsplit(url).scheme != "https" and not is_loopback(url):
            raise Usage(f"the issuer {url} is not an https URL")
        self.url = url.rstrip("/")
        self._audience = audience
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at: float | None = None
        self._asked: deque[float] = deque(maxlen=FETCHES_PER_MINUTE)
        self._fetching = asyncio.Lock()

    async def claims(self, token: str) -> dict[str, Any]:
        """Raises Unauthenticated, or Unavailable while the keys cannot be had."""
        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") != "RS256":
                raise jwt.InvalidAlgorithmError
            key = await self._key(str(header.get("kid", "")))
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=["RS256"],
                audience=self._audience,
                issuer=self.url,
                options=UNCHECKED,
            )
            if claims["aud"] != self._audience:  # the only one, or whoever else is meant could replay it here
                raise jwt.InvalidAudienceError
        except jwt.InvalidAudienceError:
            raise Unauthenticated(
                "oidc_token_is_for_this_server",
                "The token of GitHub was made for another server.",
                hint=f"Ask GitHub for one with the audience {self._audience}.",
            ) from None
        except jwt.InvalidIssuerError:
            raise Unauthenticated(
                "oidc_issuer_is_trusted",
                "The token was not issued by whom this server trusts.",
                hint=f"That is {self.url}.",
            ) from None
        except (jwt.PyJWTError, ValueError, TypeError):
            raise Unauthenticated("oidc_token_is_genuine", "The token of GitHub is not genuine.") from None
        return claims

    async def _key(self, kid: str) -> jwt.PyJWK:
        async with self._fetching:
            age = float("inf") if self._fetched_at is None else time.monotonic() - self._fetched_at
            if kid not in self._keys or age > KEPT_S:
                await self._refresh(needed=kid not in self._keys)
        if kid not in self._keys:
            raise jwt.InvalidKeyError
        return self._keys[kid]

    async def _refresh(self, *, needed: bool) -> None:
        now = time.monotonic()
        if len(self._asked) == FETCHES_PER_MINUTE and now - self._asked[0] < 60:
            if needed:
                raise Unavailable(
                    "issuer_is_not_asked_too_often", "Too many tokens with unknown keys were sent.", retry_after_s=15
                )
            return
        self._asked.append(now)
        try:
            self._keys = await self._fetch()
            self._fetched_at = now
        except (Unfetchable, httpx.HTTPError) as error:
            log.warning("keys of %s: %s", self.url, error)
            if needed:
                raise Unavailable(
                    "issuer_answers", "The keys of the issuer cannot be fetched just now.", retry_after_s=5
                ) from None

    async def _fetch(self) -> dict[str, jwt.PyJWK]:
        async with httpx.AsyncClient(timeout=5, trust_env=not is_loopback(self.url)) as client:
            discovered = await read(client, f"{self.url}/.well-known/openid-configuration", Discovery)
            where = discovered.jwks_uri
            if discovered.issuer != self.url or (urlsplit(where).scheme != "https" and not is_loopback(where)):
                raise Unfetchable("its discovery document is not its own")
            document = await read(client, where, Keys)
        found: dict[str, jwt.PyJWK] = {}
        for key in document.keys:
            if key.get("kty") == "RSA" and key.get("use", "sig") == "sig" and "kid" in key:
                try:
                    found[str(key["kid"])] = jwt.PyJWK(key, algorithm="RS256")
                except jwt.PyJWTError as error:
                    log.warning("a key of %s cannot be used: %s", self.url, error)
        return found


async def read(client: httpx.AsyncClient, url: str, document: type[Document]) -> Document:
    async with client.stream("GET", url) as response:
        if response.status_code != 200:
            raise Unfetchable(f"{url} answered {response.status_code}")
        body = b""
        async for piece in response.aiter_bytes():
            body += piece
            if len(body) > LARGEST_ANSWER:
                raise Unfetchable(f"{url} answered too much")
    try:
        return msgspec.json.decode(body, type=document)
    except msgspec.DecodeError as error:
        raise Unfetchable(f"{url}: {error}") from None
