"""A webhook's receiver: a real HTTP server on loopback that answers, or fails to, as a test wants. It verifies every
request by the library of Standard Webhooks, which shares no code with what signs."""

import json
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self

import standardwebhooks


class Received(NamedTuple):
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def event(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.body)
        return told

    def verified_by(self, secret: str) -> bool:
        try:
            standardwebhooks.Webhook(secret).verify(self.body, self.headers, json_parse=False)
        except standardwebhooks.WebhookVerificationError:
            return False
        return True


class Receiver:
    """`answer(number, received)` says a status and headers, from the first request on; a number below 0 is a socket
    that is closed without an answer. While `go_on` is cleared, nobody is answered."""

    def __init__(self, answer: Callable[[int, Received], tuple[int, dict[str, str]]] | None = None) -> None:
        self.received: list[Received] = []
        self.answer = answer or (lambda _number, _received: (200, {}))
        self.go_on = threading.Event()
        self.go_on.set()
        self.open = 0
        self.most_open = 0
        self._arrived = threading.Condition()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", "0")))
                one = Received(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
                with receiver._arrived:
                    receiver.received.append(one)
                    number = len(receiver.received)
                    receiver.open += 1
                    receiver.most_open = max(receiver.most_open, receiver.open)
                    receiver._arrived.notify_all()
                receiver.go_on.wait(60)
                with receiver._arrived:
                    receiver.open -= 1
                status, headers = receiver.answer(number, one)
                try:
                    if status < 0:
                        self.connection.shutdown(socket.SHUT_RDWR)
                        return
                    self.send_response(status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(headers.get("x-body", "").encode())
                except OSError:  # whoever asked has left
                    pass

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass

        self._http = Quiet(("127.0.0.1", 0), Handler)
        self.port = self._http.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/hook"

    def __enter__(self) -> Self:
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.go_on.set()
        self._http.shutdown()
        self._http.server_close()

    def wait_for(self, count: int) -> list[Received]:
        """The requests, once there are so many."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.received) >= count, 60), self.received
            return list(self.received)
