"""A real HTTP server on loopback that says what a test wants to provoke, and the CLI as a real process."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qsl, urlsplit

NOW = "2026-01-31T12:00:00Z"


class Answer(NamedTuple):
    """What to say: a document, text, or nothing but a dropped connection; first waiting for `after`, if given."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = MappingProxyType({})
    drop: bool = False
    after: threading.Event | None = None


class Request(NamedTuple):
    method: str
    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    body: Any


def problem(
    status: int, title: str, *, code: str = "nope", headers: dict[str, str] | None = None, **more: Any
) -> Answer:
    document = {"type": f"https://qgjob.invalid/problems/{code}", "status": status, "title": title, **more}
    return Answer(status, document, {"content-type": "application/problem+json", **(headers or {})})


def dropped() -> Answer:
    return Answer(drop=True)


class StandIn:
    """Answers each route with what was queued for it; the last answer repeats. Remembers every request."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self._answers: dict[tuple[str, str], deque[Answer]] = {}
        self._arrived = threading.Condition()
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                stand_in._answer(self)

            do_GET = do_POST = do_DELETE = answer  # noqa: N815

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._http.block_on_close = False
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def on(self, method: str, path: str, *answers: Answer | dict[str, Any] | list[Any]) -> None:
        ready = [answer if isinstance(answer, Answer) else Answer(body=answer) for answer in answers]
        self._answers[method, path] = deque(ready)

    def asked(self, method: str, path: str) -> list[Request]:
        return [request for request in self.requests if (request.method, request.path) == (method, path)]

    def wait_for(self, method: str, path: str, times: int = 1) -> None:
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.asked(method, path)) >= times, timeout=30), self.requests

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        content = handler.rfile.read(int(handler.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        body = json.loads(content) if content else None
        with self._arrived:
            queue = self._answers.get((handler.command, parts.path))
            answer = problem(404, f"no {parts.path}")
            if queue:
                answer = queue.popleft() if len(queue) > 1 else queue[0]
            self.requests.append(Request(handler.command, parts.path, parse_qsl(parts.query), headers, body))
            self._arrived.notify_all()
        if answer.after is not None:
            answer.after.wait(30)
        handler.close_connection = answer.drop
        if answer.drop:
            return
        data = answer.body.encode() if isinstance(answer.body, str) else json.dumps(answer.body).encode()
        try:
            handler.send_response(answer.status)
            for name, value in {"content-type": "application/json", **answer.headers}.items():
                handler.send_header(name, value)
            handler.send_header("content-length", str(len(data)))
            handler.end_headers()
            handler.wfile.write(data)
        except (BrokenPipeError, ConnectionResetError):  # the client was interrupted
            handler.close_connection = True


class Result(NamedTuple):
    exit: int
    stdout: str
    stderr: str

    @property
    def document(self) -> Any:
        return json.loads(self.stdout)


def environment(server: StandIn | None, variables: dict[str, str]) -> dict[str, str]:
    """That of a fresh shell: nothing of the developer's own settings, and impatient."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("QGJOB_")}
    inherited |= {"CI": "", "COLUMNS": "80", "TERM": "xterm", "QGJOB_RETRY_FOR": "0"}
    return inherited | ({"QGJOB_SERVER_URL": server.url} if server else {}) | variables


def qgjob(
    *arguments: str, server: StandIn | None = None, cwd: Path | None = None, stdin: str = "", **variables: str
) -> Result:
    done = subprocess.run(
        [sys.executable, "-m", "qgjob", *arguments],
        capture_output=True,
        check=False,
        cwd=cwd,
        encoding="utf-8",
        errors="surrogateescape",
        env=environment(server, variables),
        input=stdin,
        timeout=60,
    )
    return Result(done.returncode, done.stdout, done.stderr)


@contextmanager
def started(*arguments: str, server: StandIn, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """The CLI in the background, to be signalled; gone at the end whatever happens."""
    process = subprocess.Popen(
        [sys.executable, "-m", "qgjob", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=environment(server, variables),
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def run(status: str = "completed", *, seq: int = 1, **counts: Any) -> dict[str, Any]:
    """A run as the API shows it."""
    zeros = dict.fromkeys(("pending", "queued", "running", "completed", "failed", "cancelled", "infrastructure"), 0)
    document = {
        "run_id": 12,
        "org_id": "qualgent",
        "app_version_id": "v1",
        "status": status,
        "seq": seq,
        **zeros,
        "flaky": 0,
        "attempts": 0,
        "installs": 0,
        "install_s": 0.0,
        "saved_s": 0.0,
        "labels": {},
        "created_at": NOW,
        "finished_at": NOW if status in {"completed", "failed", "cancelled"} else None,
        **counts,
    }
    states = ("pending", "queued", "running", "completed", "failed", "cancelled")
    return {"total": sum(document[state] for state in states), **document}


def job(status: str = "completed", **more: Any) -> dict[str, Any]:
    """A job as the API shows it."""
    nothing = ("failure_kind", "message", "device", "worker", "retry_of", "started_at", "finished_at", "duration_s")
    return {
        "job_id": 34,
        "run_id": 12,
        "org_id": "qualgent",
        "app_version_id": "v1",
        "test_path": "tests/checkout.spec.js",
        "target": "emulator",
        "selector": {},
        "reset": "clear",
        "priority": "normal",
        "status": status,
        "flaky": False,
        "attempts": 1,
        "retries": 0,
        "timeout_s": 900,
        "cancel_requested": False,
        "created_at": NOW,
        **dict.fromkeys(nothing),
        **more,
    }


def failure(verdict: str = "failed", **more: Any) -> dict[str, Any]:
    """A job that did not simply pass, as the API shows it."""
    return {
        "job_id": 34,
        "test_path": "tests/checkout.spec.js",
        "target": "emulator",
        "selector": {},
        "app_version_id": "v1",
        "verdict": verdict,
        "failure_kind": "test" if verdict == "failed" else None,
        "message": "Expected: 6.2\nReceived: 5.58",
        "attempts": 1,
        "device": "lab-1",
        "title": "total",
        "line": 7,
        "video_url": None,
        "video_offset_s": None,
        "log_tail": "",
        **more,
    }


def page(*jobs: dict[str, Any], next_cursor: int | None = None) -> dict[str, Any]:
    return {"jobs": list(jobs), "next_cursor": next_cursor}


def submitted(*job_ids: int, deduplicated: int = 0, replayed: bool = False) -> Answer:
    document = {"run_id": 12, "total": len(job_ids), "deduplicated": deduplicated, "replayed": replayed}
    return Answer(201, {**document, "job_ids": list(job_ids)})
