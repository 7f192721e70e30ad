"""A network between a worker and the API in which a test decides what goes wrong: answers lost after the server has
acted, refusals by somebody in between, requests that hang, a server that moves."""

import re
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple, Self
from urllib.parse import urlsplit

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


class Wire:
    """A TCP connection to a server, PostgreSQL or the API, that a test can cut: nothing gets through until it is
    mended."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._server = (parts.hostname or "", parts.port or 5432)
        self._open: set[socket.socket] = set()
        self._cut = False
        self._listening = socket.create_server(("127.0.0.1", 0))
        user = parts.netloc.rpartition("@")[0]
        address = f"127.0.0.1:{self._listening.getsockname()[1]}"
        self.url = parts._replace(netloc=f"{user}@{address}" if user else address).geturl()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        self._listening.close()

    def cut(self) -> None:
        self._cut = True
        for end in list(self._open):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        self._cut = False

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                here, _ = self._listening.accept()
                if self._cut:
                    here.close()
                    continue
                there = socket.create_connection(self._server)
                self._open |= {here, there}
                for source, target in ((here, there), (there, here)):
                    threading.Thread(target=self._carry, args=(source, target), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(65_536):
                target.sendall(piece)
        self._open -= {source, target}
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)  # or the other thread would not notice
            end.close()
