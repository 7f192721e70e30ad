"""One HTTP request, tried until it is answered or patience ends. What may be repeated, and when, is decided here only.

httpx is imported by the first request: it costs as much as the rest of the program's start.
"""

from __future__ import annotations

import ipaddress
import os
import random
import re
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, BinaryIO, TypeVar
from urllib.parse import urlsplit

import msgspec

from qgjob import __version__
from qgjob.errors import ClientError, Exit, Refused, Unavailable, Usage
from qgjob.models.problem import Problem
from qgjob.problems import exit_code_of

if TYPE_CHECKING:
    import httpx

REPEATABLE = frozenset({408, 425, 429, 500, 502, 503, 504})
CONNECT_S = 10.0
READ_S = 30.0
SHORTEST_READ_S = 10.0
PAUSE_CAP_S = 30.0
# Between two pieces of a stream, and for the server to store the last of them.
STREAM_S = 120.0
PIECE = 256 * 1024
Params = Sequence[tuple[str, str | int]]
Answer = TypeVar("Answer")


def pause_s(failures: int, retry_after_s: float | None) -> float:
    """Full jitter, so that clients cut off together do not come back together. `failures` counts from 0. What a server
    asks for is heard up to a cap: it may be back long before."""
    jitter = random.uniform(0, min(PAUSE_CAP_S, 0.5 * 2 ** min(failures, 10)))  # noqa: S311 - spreads load only
    return min(PAUSE_CAP_S, max(retry_after_s or 0.0, jitter))


class Transport:
    """Speaks to one server. Redirects are not followed: a token belongs to the origin it was given for."""

    def __init__(
        self,
        server_url: str,
        *,
        token: str | None,
        exchange: Callable[[float], str | None] | None = None,
        retry_for_s: float,
        say: Callable[[str], None] | None = None,
        traceparent: str | None = None,
    ) -> None:
        """`exchange` gives a token within so many seconds: at the first request, and when the last one has expired."""
        self._server_url = checked_server_url(server_url, with_token=token is not None)
        self._token = token
        self._exchange = exchange
        self._traceparent = traceparent
        self._retry_for_s = retry_for_s
        self._say = say
        self._http: httpx.Client | None = None

    def send(
        self,
        method: str,
        path: str,
        *,
        params: Params = (),
        body: bytes | None = None,
        key: str | None = None,
        patience_s: float | None = None,
        retry: bool = True,
    ) -> bytes:
        """The body of a successful answer. `patience_s` bounds all tries together; `retry=False` means one try."""

        def once(read_s: float) -> bytes:
            return self._once(method, path, params, body, key, read_s)

        return self._until_answered(once, patience_s=patience_s, retry=retry)

    def upload(self, path: str, file: BinaryIO, size: int, *, params: Params) -> bytes:
        """Stream a file; from its start again after a failure that may pass. The body of the answer."""

        def once(read_s: float) -> bytes:
            file.seek(0)
            pieces = iter(lambda: file.read(PIECE), b"")
            headers = {"content-type": "application/octet-stream", "content-length": str(size)}
            with self._asked("PUT", path, params, pieces, headers, max(read_s, STREAM_S)) as response:
                return response.read()

        return self._until_answered(once)

    def download(self, path: str, file: BinaryIO) -> int:
        """Stream an answer into a file, from its start again after a failure that may pass. The size of it."""

        def once(read_s: float) -> int:
            file.seek(0)
            file.truncate()
            with self._asked("GET", path, (), None, {}, max(read_s, STREAM_S)) as response:
                for piece in response.iter_bytes(PIECE):
                    file.write(piece)
            return file.tell()

        return self._until_answered(once)

    def _until_answered(
        self, once: Callable[[float], Answer], *, patience_s: float | None = None, retry: bool = True
    ) -> Answer:
        budget = max(self._retry_for_s, 2 * SHORTEST_READ_S) if patience_s is None else patience_s
        one_try = min(READ_S, budget / 2) if retry else budget  # half: a hung server leaves time for a second try
        deadline = time.monotonic() + (self._retry_for_s if patience_s is None else patience_s)
        renewed = False
        failures = 0
        while True:
            read_s = min(one_try, max(0.5, deadline - time.monotonic())) if failures else one_try
            try:
                if self._exchange is not None and self._token is None:
                    self._renew(self._exchange, read_s)
                return once(read_s)
            except (Refused, Unavailable) as failure:
                if failure.code == "token_is_valid" and self._exchange is not None and not renewed:
                    renewed, self._token = True, None
                    continue
                pause = pause_s(failures, failure.retry_after_s)
                if not retry or not failure.retryable or time.monotonic() + pause >= deadline:
                    raise
                if self._say and failures == 0:
                    left = round(deadline - time.monotonic())
                    hint = f" ({failure.hint})" if failure.hint else ""  # before the wait, for it may not be worth it
                    self._say(f"{failure.message.rstrip('.')}; trying again for up to {left} s{hint}")
            failures += 1
            time.sleep(pause)

    def _once(
        self, method: str, path: str, params: Params, body: bytes | None, key: str | None, read_s: float
    ) -> bytes:
        headers = {"content-type": "application/json"} if body is not None else {}
        if key is not None:
            headers["idempotency-key"] = key
        with self._asked(method, path, params, body, headers, read_s) as response:
            return response.read()

    @contextmanager
    def _asked(
        self,
        method: str,
        path: str,
        params: Params,
        content: bytes | Iterable[bytes] | None,
        headers: dict[str, str],
        read_s: float,
    ) -> Generator[httpx.Response]:
        """A successful answer whose body has not been read yet. What breaks while it is read is Unavailable, too."""
        import httpx

        timeout = httpx.Timeout(read_s, connect=min(CONNECT_S, read_s))
        url = self._server_url + path
        try:
            with self._client().stream(
                method, url, params=list(params), content=content, headers=headers, timeout=timeout
            ) as response:
                if not response.is_success:
                    response.read()
                    raise refusal(response, self._server_url)
                yield response
        except httpx.LocalProtocolError as error:
            raise Usage(f"the file was changed while it was sent: {error}") from error
        except httpx.RequestError as error:
            raise self._unreachable(error) from error

    def _renew(self, exchange: Callable[[float], str | None], read_s: float) -> None:
        self.close()  # the token is a header of the connection's client
        self._token = exchange(read_s)
        if self._token is None:  # nor will it offer one at the next request
            self._exchange = None

    def _client(self) -> httpx.Client:
        import httpx

        if self._http is None:
            headers = {
                "user-agent": f"qgjob/{__version__}",
                "accept": "application/json, application/problem+json, */*",
            }
            if self._traceparent is not None:
                headers["traceparent"] = self._traceparent
            if self._token is not None:
                headers["authorization"] = f"Bearer {self._token}"
            try:  # as httpx and the resolver are going to read it
                parsed = httpx.URL(self._server_url)
                parsed.host.encode()
                parsed.raw_host.decode().encode("idna")
            except (httpx.InvalidURL, UnicodeError) as error:
                raise Usage(f"not a server URL: {self._server_url!r}: {error}") from error
            # A proxy of the environment cannot reach this machine's own loopback.
            self._http = httpx.Client(headers=headers, trust_env=not is_loopback(self._server_url))
        return self._http

    def _unreachable(self, error: httpx.RequestError) -> Unavailable:
        reason = re.sub(r"^\[Errno -?\d+\] ", "", str(error).rstrip(".")) or type(error).__name__
        untrusted = "CERTIFICATE_VERIFY_FAILED" in reason
        return Unavailable(
            f"cannot reach {self._server_url}: {reason}",
            hint="set SSL_CERT_FILE to the certificate authority of this server"
            if untrusted
            else "is the server running? QGJOB_SERVER_URL or --server-url says where",
            retryable=not untrusted,
        )

    def close(self) -> None:
        """Drop the connection, also one that a signal left in the middle of an answer."""
        if self._http is not None:
            self._http.close()
            self._http = None


def refusal(response: httpx.Response, server_url: str) -> ClientError:
    """The named error for an answer that is not a success."""
    status = response.status_code
    try:
        problem = msgspec.json.decode(response.content, type=Problem)
    except (msgspec.DecodeError, UnicodeDecodeError):
        url = response.request.url
        problem = Problem(
            type=f"http_{status}", status=status, title=f"{url.copy_with(query=None)} answered HTTP {status}"
        )
        if status < 500:
            problem.hint = f"is {server_url} a qgjob server? QGJOB_SERVER_URL or --server-url says where"
    hint = problem.hint
    if status == 401 and hint is None:
        hint = "set QGJOB_TOKEN to a token of this server"
    if problem.type.endswith("token_is_shown") and os.environ.get("GITHUB_ACTIONS"):
        hint = "give the job `permissions: id-token: write`, or QGJOB_TOKEN; a fork's pull request gets neither"
    named = problem.field is not None and problem.field not in problem.title
    return (Refused if exit_code_of(status) == Exit.REFUSED else Unavailable)(
        f"{problem.title} (field: {problem.field})" if named else problem.title,
        hint=hint,
        code=problem.type.rsplit("/", 1)[-1].rsplit(":", 1)[-1],
        request_id=problem.request_id or response.headers.get("x-request-id"),
        retryable=status in REPEATABLE,
        retry_after_s=retry_after_s(response.headers.get("retry-after")),
    )


def retry_after_s(value: str | None) -> float | None:
    """Seconds, from either form of the header; None when there is none or it says nothing."""
    if value is None:
        return None
    try:
        return max(0.0, float(int(value)))
    except (ValueError, OverflowError):
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def checked_server_url(url: str, *, with_token: bool) -> str:
    """The URL without its last slash. A token goes over plain http to this machine only."""
    url = url.strip()
    try:
        parts = urlsplit(url)
        port_is_sane = parts.port is None or parts.port > 0
    except ValueError:
        parts, port_is_sane = urlsplit(""), False
    is_clean = url.isprintable() and " " not in url
    if parts.scheme not in {"http", "https"} or not parts.hostname or not port_is_sane or not is_clean:
        raise Usage(f"not a server URL: {url!r}", hint="for example https://qgjob.example.com")
    if parts.username is not None or parts.query or parts.fragment:
        raise Usage("the server URL carries credentials or a query", hint="the token goes into QGJOB_TOKEN")
    if with_token and parts.scheme == "http" and not is_loopback(url):
        raise Usage(f"refusing to send a token unencrypted to {parts.hostname}", hint="use https")
    return url.rstrip("/")
