"""One API server as a worker calls it: JSON there and back, asked again until it is answered."""

from collections.abc import AsyncGenerator, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httpx
import msgspec

from qgjob import __version__
from qgjob.errors import Refused
from qgjob.models.attempts import StoredFile
from qgjob.models.problem import Problem
from qgjob.transport import REPEATABLE, checked_server_url, is_loopback, retry_after_s
from worker.batch import Batch, BatchJob, File, PrepareError
from worker.protocol import LeaseLost, Passing, until_answered
from worker.stores import PIECE, StoreFailed

Json = Mapping[str, object]
CONNECT_S = 10.0
# For an answer, beyond what the server was asked to wait; and between two pieces of a file.
READ_S = 30.0
STREAM_S = 120.0
LONGEST_RETRY_AFTER_S = 30.0


class Api:
    """Implements worker.stores.Store, too. Redirects are not followed: a token belongs to the server it was given for.

    `accepted`: the server has known the token. From then on a 401 or 403 may pass. Raises Usage."""

    def __init__(self, server_url: str, token: str | None) -> None:
        self._url = checked_server_url(server_url, with_token=token is not None)
        headers = {"user-agent": f"qgjob-worker/{__version__}", "accept": "application/json, application/problem+json"}
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        self._http = httpx.AsyncClient(
            headers=headers,
            timeout=httpx.Timeout(READ_S, connect=CONNECT_S, pool=None),
            limits=httpx.Limits(max_connections=None),  # as many as devices that wait
            trust_env=not is_loopback(self._url),  # a proxy of the environment cannot reach this machine's loopback
        )
        self.accepted = False

    async def close(self) -> None:
        await self._http.aclose()

    async def ask(self, method: str, path: str, returns: Any, body: Json | None = None, wait_s: float = 0.0) -> Any:
        """An answer of that type; None: nothing is answered. Raises LeaseLost and Refused."""
        content = msgspec.json.encode(body) if body is not None else None
        headers = {"content-type": "application/json"} if body is not None else {}
        timeout = httpx.Timeout(READ_S + wait_s, connect=CONNECT_S, pool=None)

        async def once() -> Any:
            answer = await self._send(method, path, content=content, headers=headers, timeout=timeout)
            return self._read(answer.content, returns)

        return await until_answered(once)

    async def put(self, batch: Batch, job: BatchJob, number: int, file: File) -> StoredFile:
        path = f"/jobs/{job.job_id}/artifacts/{job.attempt}/{number}"
        size = file.path.stat().st_size
        headers = {"content-type": "application/octet-stream", "content-length": str(size)}
        params = {"lease": str(batch.lease), "name": file.name, "content_type": file.content_type}

        async def once() -> StoredFile:
            timeout = httpx.Timeout(STREAM_S, connect=CONNECT_S, pool=None)
            answer = await self._send(
                "PUT", path, params=params, content=_content(file), headers=headers, timeout=timeout
            )
            stored: StoredFile = self._read(answer.content, StoredFile)
            return stored

        try:
            return await until_answered(once)
        except (LeaseLost, Refused) as error:
            raise StoreFailed(str(error)) from None
        except OSError as error:
            raise StoreFailed(error.strerror or str(error)) from None

    async def pieces(self, key: str) -> AsyncGenerator[bytes]:
        """A build is `builds/organisation/file` in the store, and /builds/organisation/files/file here."""
        folder, _, name = key.rpartition("/")
        path = f"/{folder}/files/{quote(name)}"
        try:
            async with self._http.stream("GET", self._url + path, timeout=STREAM_S) as response:
                if not response.is_success:
                    await response.aread()
                    self._refuse(response)
                async for piece in response.aiter_bytes(PIECE):
                    yield piece
        except Refused as error:
            raise PrepareError(str(error), "source") from None
        except (Passing, httpx.HTTPError) as error:
            raise PrepareError(f"The build {key} cannot be fetched from {self._url}: {error}.", "provider") from None

    async def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            answer = await self._http.request(method, self._url + path, **options)
        except httpx.LocalProtocolError as error:
            raise StoreFailed(f"it was changed while it was sent: {error}") from None
        except httpx.RequestError as error:
            raise Passing(f"cannot reach {self._url}: {str(error) or type(error).__name__}") from None
        if not answer.is_success:
            self._refuse(answer)
        return answer

    def _refuse(self, answer: httpx.Response) -> None:
        status = answer.status_code
        try:
            problem = msgspec.json.decode(answer.content, type=Problem)
            said, rule = problem.title, problem.type.rpartition(":")[2]
        except (msgspec.DecodeError, UnicodeDecodeError):
            said, rule = f"{answer.url.copy_with(query=None)} answered {status} {_phrase(status)}", f"http_{status}"
        if rule == "lease_is_held":
            raise LeaseLost(said)
        if status in REPEATABLE or (self.accepted and status in (401, 403)):
            after_s = min(retry_after_s(answer.headers.get("retry-after")) or 0.0, LONGEST_RETRY_AFTER_S)
            raise Passing(f"{self._url}: {said}", after_s)
        if status == 401:
            said += " Set QGJOB_TOKEN to a token of this server."
        raise Refused(said, code=rule)

    def _read(self, content: bytes, returns: Any) -> Any:
        if returns is None:
            return None
        try:
            return msgspec.json.decode(content, type=returns)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Passing(f"{self._url} answers in a way that this worker cannot read: {error}") from None


async def _content(file: File) -> AsyncGenerator[bytes]:
    with file.path.open("rb") as opened:  # a copy on this machine's disk, in pieces: nobody waits for long
        while piece := opened.read(PIECE):
            yield piece


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
