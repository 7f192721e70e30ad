"""What is asked is an address that was judged, whatever names answer and however addresses are written."""

import asyncio
import ssl
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from pathlib import Path

import pytest
from receivers import Receiver

from api.notifiers import NotDelivered
from api.sending import Sender
from qgjob.addresses import AddressRefused, is_public

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # that of the specification's examples
LOOPBACK = [ip_network("127.0.0.1/32")]


class Names:
    """A name server that answers what it is told, in turn; the last answer repeats."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def post(sender: Sender, url: str) -> int:
    async def once() -> int:
        async with sender:
            return await sender.post(url, "msg_1", datetime.now(UTC), [SECRET], b"{}", "application/json")

    return asyncio.run(once())


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "192.0.0.1", "198.18.0.1", "192.88.99.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1", "fe80::1",
        "fe80::1%eth0", "fc00::1", "fd00::1", "fec0::1", "ff02::1", "2001:db8::1", "100::1", "::ffff:127.0.0.1",
        "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "::ffff:0:127.0.0.1", "64:ff9b::127.0.0.1",
        "64:ff9b::10.0.0.1", "64:ff9b:1::1", "2002:7f00:1::1", "2002:808:808::1", "2001::1",
        "192.0.0.8", "192.0.0.10", "192.0.0.192", "3fff::1", "3fff:fff::1", "168.63.129.16", "::ffff:168.63.129.16",
        "64:ff9b::192.0.0.192",
    ],
)  # fmt: skip
def test_addresses_that_not_everybody_can_reach_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "93.184.216.34", "192.0.1.1", "168.63.129.17", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::1.1.1.1"],
)
def test_addresses_of_the_internet_are(address: str) -> None:
    assert is_public(address)


def test_a_name_is_asked_for_once_and_its_answer_is_where_the_request_goes(receiver: Receiver) -> None:
    names = Names(["127.0.0.1"], ["10.0.0.1"])
    assert post(Sender(LOOPBACK, resolve=names), f"http://hook.example:{receiver.port}/a?b=c") == 200
    (one,) = receiver.received
    assert (one.path, one.headers["host"]) == ("/a?b=c", f"hook.example:{receiver.port}")
    assert one.verified_by(SECRET)
    assert names.asked == ["hook.example"]


def test_a_name_that_has_changed_its_address_since_it_was_checked_is_judged_again(receiver: Receiver) -> None:
    names = Names(["1.1.1.1"], ["127.0.0.1"])
    sender = Sender([], resolve=names)
    url = f"https://rebind.example:{receiver.port}/"
    asyncio.run(sender.check(url, "acme"))
    with pytest.raises(NotDelivered, match="not at a public address"):
        post(sender, url)
    assert receiver.received == []
    assert names.asked == ["rebind.example"] * 2


def test_one_private_address_among_public_ones_is_enough_to_refuse(receiver: Receiver) -> None:
    for answer in (["1.1.1.1", "127.0.0.1"], ["127.0.0.1", "1.1.1.1"]):
        with pytest.raises(NotDelivered, match="not at a public address"):
            post(Sender([], resolve=Names(answer)), f"https://both.example:{receiver.port}/")
    assert receiver.received == []


def test_plain_http_is_for_allowed_networks_only() -> None:
    sender = Sender(LOOPBACK, resolve=Names(["1.1.1.1"]))
    with pytest.raises(AddressRefused, match="https only"):
        asyncio.run(sender.check("http://ci.example/", "acme"))
    with pytest.raises(NotDelivered, match="https only"):
        post(sender, "http://ci.example/")


def test_where_one_address_of_a_name_does_not_answer_the_next_is_asked(receiver: Receiver) -> None:
    sender = Sender([ip_network("127.0.0.0/8")], resolve=Names(["127.0.0.9", "127.0.0.1"]))
    assert post(sender, f"http://two.example:{receiver.port}/") == 200
    assert len(receiver.received) == 1


@pytest.mark.parametrize("url", [f"http://{'a' * 64}.example/", "http://nowhere.invalid/", "http://a..b/"])
def test_a_name_that_is_none_is_a_failure_in_words(url: str) -> None:
    with pytest.raises(NotDelivered, match=r"could not be connected to|did not answer in HTTP"):
        post(Sender(LOOPBACK), url)


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate that signed itself, and its key."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}",
         "-addext", f"subjectAltName=DNS:{name}", "-keyout", key, "-out", cert],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    return cert, key


def test_the_certificate_is_that_of_the_name_although_the_address_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cert, key = certificate(tmp_path, "hook.example")
    asked_for: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    context.sni_callback = lambda _socket, name, _context: asked_for.append(name)  # type: ignore[assignment,misc]
    server.socket = context.wrap_socket(server.socket, server_side=True)
    monkeypatch.setattr(ThreadingHTTPServer, "handle_error", lambda *_: None)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    port = server.server_address[1]
    try:
        with pytest.raises(NotDelivered, match="certificate"):
            post(Sender(LOOPBACK, resolve=Names(["127.0.0.1"])), f"https://hook.example:{port}/")
        monkeypatch.setenv("SSL_CERT_FILE", str(cert))
        assert post(Sender(LOOPBACK, resolve=Names(["127.0.0.1"])), f"https://hook.example:{port}/") == 204
        with pytest.raises(NotDelivered, match="certificate"):
            post(Sender(LOOPBACK, resolve=Names(["127.0.0.1"])), f"https://other.example:{port}/")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert asked_for == ["hook.example", "hook.example", "other.example"]
