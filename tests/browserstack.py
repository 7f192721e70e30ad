"""A stand-in for BrowserStack App Automate: a real HTTP server on loopback with the REST calls and the hub, as far as
their documentation tells. Nobody has compared it with the real one.

It keeps a plan (so many sessions run, so many queue, more are refused), knows each upload until it expires, wipes the
device with the session, ends sessions that are idle for too long, and refuses whoever asks too often. With `upstream`,
the URL of a WebDriver server, sessions are opened there, on the uploaded file.
"""

import base64
import hashlib
import http.client
import json
import re
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

USER, KEY = "jane_Xy12", "s3cr3tKeyOfJane"
ALL_IN_USE = (
    "All parallel tests are currently in use, including the queued tests. "
    "Please wait to finish or upgrade your plan to add more sessions."
)
INVALID_APP = (
    "[BROWSERSTACK_INVALID_APP_URL] The app_url specified in the 'app' capability in your test is invalid. Please "
    "specify a valid app_url that was returned in the response to upload app API request and try again."
)


class Session:
    def __init__(self, number: int, capabilities: dict[str, Any]) -> None:
        self.id = hashlib.sha1(f"session {number}".encode()).hexdigest()
        self.capabilities = capabilities
        self.options: dict[str, Any] = capabilities.get("bstack:options", {})
        self.app: str = capabilities.get("appium:app", "")
        self.upstream: str | None = None
        self.status, self.reason = "running", None
        self.marked: dict[str, Any] = {}
        self.annotations: list[str] = []
        self.commands: list[tuple[str, Any]] = []
        self.idle_since = time.monotonic()

    @property
    def running(self) -> bool:
        return self.status == "running"

    def shown(self) -> dict[str, Any]:
        ended = (
            None if self.running else f"https://app-automate.example/sessions/{self.id}/video?token=tOkEn{self.id[:8]}"
        )
        return {
            "automation_session": {
                "name": self.options.get("sessionName"),
                "duration": None,
                "os": self.capabilities.get("platformName"),
                "device": self.options.get("deviceName"),
                "status": self.marked.get("status", self.status) if not self.running else "running",
                "reason": self.marked.get("reason", self.reason),
                "hashed_id": self.id,
                "build_name": self.options.get("buildName"),
                "project_name": self.options.get("projectName"),
                "video_url": ended,
            }
        }


class Upload(NamedTuple):
    url: str
    name: str
    content: bytes
    custom_id: str | None


class Refusal(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        super().__init__(status)
        self.status, self.body, self.headers = status, body, headers or {}


def hub_error(status: int, code: str, message: str) -> Refusal:
    return Refusal(
        status, {"value": {"error": code, "message": message, "stacktrace": ""}, "sessionId": "", "status": 13}
    )


class BrowserStack:
    """`allowed` sessions may run at a time, `queue` more may wait. Everything that happened can be looked at."""

    def __init__(self, allowed: int = 5, queue: int = 5, upstream: str | None = None) -> None:
        self.allowed, self.queue, self.upstream = allowed, queue, upstream
        self.others = 0
        self.requests: list[tuple[str, str]] = []
        self.uploads: list[Upload] = []
        self.expired: set[str] = set()
        self.sessions: list[Session] = []
        self.refused = 0
        self.queued_ever = 0
        self.most_running = 0
        self.before_upload = threading.Event()
        self.before_upload.set()
        self.before_session = threading.Event()
        self.before_session.set()
        self.next_session_fails: list[Refusal] = []
        self.next_end_fails: list[Refusal] = []
        self._queued = 0
        self._too_many = 0
        self._retry_after = ""
        self._changed = threading.Condition()
        self._folder = tempfile.TemporaryDirectory()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self._http.block_on_close = False
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        self.hub_url = f"{self.url}/wd/hub"

    def __enter__(self) -> Self:
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._folder.cleanup()

    @property
    def settings(self) -> dict[str, Any]:
        """For the backend."""
        return {"api_url": self.url, "hub_url": self.hub_url}

    @property
    def environment(self) -> dict[str, str]:
        return {"BROWSERSTACK_USERNAME": USER, "BROWSERSTACK_ACCESS_KEY": KEY}

    def running(self) -> list[Session]:
        with self._changed:
            self._end_idle()
            return [session for session in self.sessions if session.running]

    def asked(self, method: str, path: str) -> int:
        return sum(asked == (method, path) for asked in list(self.requests))

    def refuse(self, times: int, retry_after: str = "0") -> None:
        """The next requests are too many."""
        self._too_many, self._retry_after = times, retry_after

    def expire_uploads(self) -> None:
        self.expired |= {upload.url for upload in self.uploads}

    def end(self, session: Session, reason: str, status: str = "timeout") -> None:
        """The session ends, and with it all that was on the device."""
        with self._changed:
            if session.running:
                session.status, session.reason = status, reason
            self._changed.notify_all()

    @contextmanager
    def used_by_others(self, sessions: int) -> Iterator[None]:
        """Somebody outside has so many sessions."""
        self.others += sessions
        yield
        with self._changed:
            self.others -= sessions
            self._changed.notify_all()

    def answer(self, method: str, path: str, headers: Any, content: bytes) -> Any:
        with self._changed:
            self.requests.append((method, path))
            if path.startswith("/app-automate") and self._too_many > 0:
                self._too_many -= 1
                raise Refusal(429, {"message": "Too many requests"}, {"retry-after": self._retry_after})
        expected = "Basic " + base64.b64encode(f"{USER}:{KEY}".encode()).decode()
        if headers.get("authorization") != expected:
            if path.startswith("/wd/hub"):
                raise hub_error(401, "unknown error", "[BROWSERSTACK_INVALID_USER_CREDENTIALS] Authorization required")
            raise Refusal(401, {"error": "Unauthorized"})
        if path.startswith("/wd/hub/session"):
            return self._hub(method, path.removeprefix("/wd/hub/session").strip("/"), content)
        return self._rest(method, path.removeprefix("/app-automate/"), headers, content)

    def _rest(self, method: str, path: str, headers: Any, content: bytes) -> Any:
        if (method, path) == ("GET", "plan.json"):
            with self._changed:
                return {
                    "automate_plan": "App Automate",
                    "terminal_access": "Public",
                    "parallel_sessions_running": len(self.running()) + self.others,
                    "team_parallel_sessions_max_allowed": self.allowed,
                    "parallel_sessions_max_allowed": self.allowed,
                    "queued_sessions": self._queued,
                    "queued_sessions_max_allowed": self.queue,
                }
        if (method, path) == ("POST", "upload"):
            return self._upload(headers, content)
        if found := re.fullmatch(r"recent_apps/(.+)", path):
            known = [
                upload for upload in self.uploads if upload.custom_id == found[1] and upload.url not in self.expired
            ]
            shown = [
                {"app_name": each.name, "app_url": each.url, "custom_id": each.custom_id} for each in reversed(known)
            ]
            return shown or {"message": "No results found"}
        if found := re.fullmatch(r"sessions/(\w+)\.json", path):
            session = next((each for each in self.sessions if each.id == found[1]), None)
            if session is None:
                raise Refusal(404, {"error": "Session not found"})
            if method == "PUT":
                session.marked |= json.loads(content)
            return session.shown()
        raise Refusal(404, {"error": "Not Found"})

    def _upload(self, headers: Any, content: bytes) -> Any:
        self.before_upload.wait(30)
        message = BytesParser(policy=HTTP).parsebytes(
            b"content-type: " + headers["content-type"].encode() + b"\r\n\r\n" + content
        )
        fields = {part.get_param("name", header="content-disposition"): part for part in message.iter_parts()}
        name = fields["file"].get_filename() or ""
        if not name.endswith((".apk", ".aab", ".ipa")):
            raise Refusal(422, {"error": "Please upload an Android app (.apk/.aab file) or an iOS app (.ipa file)."})
        custom_id = fields["custom_id"].get_content().strip() if "custom_id" in fields else None
        data = fields["file"].get_payload(decode=True)
        assert isinstance(data, bytes)
        with self._changed:
            url = "bs://" + hashlib.sha1(f"upload {len(self.uploads)}".encode()).hexdigest()
            self.uploads.append(Upload(url, name, data, custom_id))
        (Path(self._folder.name) / (url.removeprefix("bs://") + Path(name).suffix)).write_bytes(data)
        return {"app_url": url, "custom_id": custom_id, "shareable_id": f"{USER}/{custom_id}"}

    def _hub(self, method: str, path: str, content: bytes) -> Any:
        if (method, path) == ("POST", ""):
            return self._open(json.loads(content)["capabilities"]["alwaysMatch"])
        session_id, _, command = path.partition("/")
        if (method, command) == ("DELETE", "") and self.next_end_fails:
            raise self.next_end_fails.pop(0)
        session = next((each for each in self.running() if each.id == session_id), None)
        if session is None:
            raise hub_error(404, "invalid session id", "Session not started or terminated")
        session.idle_since = time.monotonic()
        body = json.loads(content) if content else {}
        if command == "execute/sync" and str(body.get("script", "")).startswith("browserstack_executor: "):
            said = json.loads(body["script"].removeprefix("browserstack_executor: "))
            if said["action"] == "annotate":
                session.annotations.append(said["arguments"]["data"])
            return {"value": None}
        session.commands.append((body.get("script", command), body.get("args")))
        answer = (
            self._forward(method, f"/{session.upstream}/{command}".rstrip("/"), content) if session.upstream else None
        )
        if (method, command) == ("DELETE", ""):
            self.end(session, "CLIENT_STOPPED_SESSION", "done")
        return answer or {"value": None}

    def _open(self, capabilities: dict[str, Any]) -> Any:
        if self.next_session_fails:
            raise self.next_session_fails.pop(0)
        self.before_session.wait(30)
        app = capabilities.get("appium:app", "")
        with self._changed:
            if app not in {upload.url for upload in self.uploads} - self.expired:
                raise hub_error(500, "unknown error", INVALID_APP)
            if len(self.running()) + self.others >= self.allowed:
                if self._queued >= self.queue:
                    self.refused += 1
                    raise hub_error(500, "unknown error", ALL_IN_USE)
                self._queued += 1
                self.queued_ever += 1
                free = self._changed.wait_for(lambda: len(self.running()) + self.others < self.allowed, timeout=30)
                self._queued -= 1
                if not free:
                    raise hub_error(500, "session not created", "[BROWSERSTACK_QUEUE_TIMEOUT] No parallel became free.")
            session = Session(len(self.sessions), capabilities)
            self.sessions.append(session)
            self.most_running = max(self.most_running, len(self.running()) + self.others)
        answered = {"platformName": capabilities.get("platformName"), "appium:appPackage": "com.example.shop"}
        if self.upstream:
            file = next(Path(self._folder.name).glob(app.removeprefix("bs://") + "*"))
            # The device is wiped with its session, whatever that asks for.
            ours = {"appium:app": str(file), "appium:fullReset": True}
            left_out = ("bstack:options", "appium:noReset")
            wanted = {name: value for name, value in capabilities.items() if name not in left_out} | ours
            body = json.dumps({"capabilities": {"alwaysMatch": wanted, "firstMatch": [{}]}}).encode()
            value = self._forward("POST", "", body)["value"]
            session.upstream, answered = value["sessionId"], value["capabilities"]
        return {"value": {"sessionId": session.id, "capabilities": answered}}

    def _forward(self, method: str, path: str, content: bytes) -> Any:
        parts = urlsplit(self.upstream or "")
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        try:
            connection.request(method, f"{parts.path}/session{path}", content, {"content-type": "application/json"})
            response = connection.getresponse()
            answer = json.loads(response.read())
        finally:
            connection.close()
        if response.status >= 400:
            raise Refusal(response.status, answer)
        return answer

    def _end_idle(self) -> None:
        for session in self.sessions:
            if session.running and time.monotonic() - session.idle_since > session.options.get("idleTimeout", 90):
                session.status, session.reason = "timeout", "BROWSERSTACK_IDLE_TIMEOUT"


def _handler(cloud: BrowserStack) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            content = self._content()
            try:
                status, body, headers = 200, cloud.answer(self.command, self.path, self.headers, content), {}
            except Refusal as refusal:
                status, body, headers = refusal.status, refusal.body, refusal.headers
            data = json.dumps(body).encode()
            try:
                self.send_response(status)
                for name, value in {"content-type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
            except (BrokenPipeError, ConnectionResetError):  # whoever asked is gone
                self.close_connection = True

        do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815

        def _content(self) -> bytes:
            if self.headers.get("transfer-encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("content-length", 0)))
            parts: list[bytes] = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    return Handler
