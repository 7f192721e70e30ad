"""The REST calls of App Automate, with its rate limit: 1600 requests in five minutes for all who use the account."""

import asyncio
import logging
import random
from pathlib import Path
from typing import Any, Literal, TypeVar

import httpx
import msgspec
from msgspec import Struct

from qgjob.transport import retry_after_s
from worker.batch import Blame, PrepareError
from worker.devices.browserstack.settings import ACCESS_KEY, USERNAME
from worker.webdriver import redacted

log = logging.getLogger("worker")
Shape = TypeVar("Shape", bound=Struct)

# Uploading is slow, and the answer comes only when the app was unpacked and checked.
TIMEOUT = httpx.Timeout(30, write=120)
UPLOAD_TIMEOUT = httpx.Timeout(30, write=120, read=600)
TRIES = 4
LONGEST_PAUSE_S = 60.0


class ApiError(PrepareError):
    """`status` is that of HTTP; None: no answer."""

    def __init__(self, message: str, blame: Blame, status: int | None = None) -> None:
        super().__init__(message, blame)
        self.status = status


class Plan(Struct):
    """How many sessions the team may have at a time, and how many there are, whoever opened them."""

    team_parallel_sessions_max_allowed: int
    parallel_sessions_running: int
    queued_sessions: int = 0


class RemoteSession(Struct):
    """A session as the REST API shows it. `status` is running until it has ended."""

    status: str | None = None
    reason: str | None = None
    video_url: str | None = None


class _Shown(Struct):
    automation_session: RemoteSession


class _App(Struct):
    app_url: str


class Api:
    def __init__(self, url: str, auth: tuple[str, str]) -> None:
        self._auth = auth
        self._http = httpx.AsyncClient(base_url=url.rstrip("/") + "/app-automate/", auth=auth, timeout=TIMEOUT)

    async def plan(self) -> Plan:
        """Raises ApiError, as every call does."""
        return _decoded(await self._ask("GET", "plan.json"), Plan)

    async def find_app(self, custom_id: str) -> str | None:
        """Where an app of that id was uploaded to, if it was."""
        answer = await self._ask("GET", f"recent_apps/{custom_id}")
        try:
            return msgspec.json.decode(answer.content, type=list[_App])[0].app_url
        except (msgspec.DecodeError, IndexError):  # {"message": "No results found"}
            return None

    async def upload(self, path: Path, custom_id: str) -> str:
        """Where it is from now on."""
        with await asyncio.to_thread(path.open, "rb") as file:
            answer = await self._ask(
                "POST",
                "upload",
                files={"file": (path.name, file, "application/octet-stream")},
                data={"custom_id": custom_id},
                timeout=UPLOAD_TIMEOUT,
            )
        return _decoded(answer, _App).app_url

    async def session(self, session_id: str) -> RemoteSession:
        return _decoded(await self._ask("GET", f"sessions/{session_id}.json"), _Shown).automation_session

    async def mark(self, session_id: str, status: Literal["passed", "failed"], reason: str) -> None:
        await self._ask("PUT", f"sessions/{session_id}.json", json={"status": status, "reason": reason})

    async def close(self) -> None:
        await self._http.aclose()

    async def _ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        for tried in range(1, TRIES + 1):
            pause_s = 0.25 * 2**tried
            try:
                response = await self._http.request(method, path, **request)
            except httpx.HTTPError as failure:
                why = f"{type(failure).__name__} {failure}".strip()  # some have no words
                error = ApiError(f"BrowserStack cannot be reached: {why}.", "provider")
            else:
                if not response.is_error:
                    return response
                error = _refusal(response, f"{method} {path}", self._auth)
                if response.status_code == 429:
                    pause_s = max(pause_s, retry_after_s(response.headers.get("retry-after")) or 0.0)
            if error.blame != "provider" or tried == TRIES:
                raise error from None
            log.warning("%s Asking again.", error)
            await asyncio.sleep(min(pause_s, LONGEST_PAUSE_S) * random.uniform(1, 1.2))  # noqa: S311
        raise AssertionError


def _decoded(answer: httpx.Response, shape: type[Shape]) -> Shape:
    try:
        return msgspec.json.decode(answer.content, type=shape)
    except msgspec.DecodeError as error:
        raise ApiError(f"BrowserStack gave an unreadable answer to {answer.url.path}: {error}", "provider") from None


def _refusal(answer: httpx.Response, asked: str, auth: tuple[str, str]) -> ApiError:
    status, words = answer.status_code, redacted(_words(answer), auth)
    if status == 429 or "rate limit" in words.lower():
        return ApiError("BrowserStack has had too many requests from this account.", "provider", status)
    if status in (401, 403):
        return ApiError(
            f"BrowserStack refuses the credentials (HTTP {status}); check {USERNAME} and {ACCESS_KEY}.",
            "config",
            status,
        )
    blame: Blame = "provider" if status >= 500 else "config"
    return ApiError(f"BrowserStack refuses {asked} (HTTP {status}): {words}", blame, status)


def _words(answer: httpx.Response) -> str:
    """What it says is wrong: {"error": …} or {"message": …}, or text."""
    try:
        said = msgspec.json.decode(answer.content, type=dict[str, Any])
        return str(said.get("error") or said.get("message") or said)[:300]
    except msgspec.DecodeError:
        return answer.text[:300].strip()
