"""A network between a worker and the API in which a test decides what goes wrong: answers lost after the server has
acted, refusals by somebody in between, requests that hang, a server that moves."""

import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple, Self

import httpx

Fault = Callable[["Request"], "int | None"]
LOST = 0


class Request(NamedTuple):
    """`route`: the path with N for every number."""

    method: str
    path: str
    route: str
    token: str | None


class FaultyNetwork:
    """`fault` decides for each request: None, it arrives; LOST, it arrives and its answer does not; a status, it is
    answered so without arriving. Requests wait while `open` is not set."""

    def __init__(self, server: str) -> None:
        self.server = server
        self.fault: Fault = lambda _: None
        self.open = threading.Event()
        self.open.set()
        self.seen: list[Request] = []
        network = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", "0")))
                path = self.path.partition("?")[0]
                request = Request(self.command, path, re.sub(r"/\d+", "/N", path), self.headers.get("authorization"))
                network.seen.append(request)
                network.open.wait(60)
                answer = network.fault(request)
                if answer:
                    self.answer(answer, b"<html>who are you?</html>", "text/html")
                    return
                headers = {
                    name: self.headers[name] for name in ("content-type", "authorization") if name in self.headers
                }
                try:
                    with httpx.Client(timeout=90, trust_env=False) as http:
                        said = http.request(
                            self.command, network.server + self.path, content=body or None, headers=headers
                        )
                except httpx.TransportError:
                    answer = LOST
                if answer == LOST:
                    self.close_connection = True
                    return
                self.answer(said.status_code, said.content, said.headers.get("content-type", ""))

            do_GET = do_POST = do_PUT = handle_any  # noqa: N815

            def answer(self, status: int, content: bytes, content_type: str) -> None:
                self.send_response(status)
                self.send_header("content-type", content_type)
                if status != 204:
                    self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                pass  # a client that was killed

        self._http = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.open.set()
        self._http.shutdown()
        self._http.server_close()
