"""Name servers that hang, at which anybody may point a webhook, hold up neither deliveries nor requests of others."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from engine import Engine
from processes import Services
from receivers import Receiver

from qgjob.children import wait_until

WAIT_S = 60
# Python imports it as it starts. What is below hang.test is looked up until the folder has a file `go-on`.
RESOLVER = """
import os, socket, time
folder, asked = os.environ["FAKE_NAMES"], socket.getaddrinfo
def look_up(host, port, *args, **options):
    if not str(host).endswith(".test"):
        return asked(host, port, *args, **options)
    with open(folder + "/asked", "a") as file:
        file.write(host + chr(10))
    while host.endswith(".hang.test") and not os.path.exists(folder + "/go-on"):
        time.sleep(0.05)
    if host.endswith(".hang.test"):
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    address = "10.0.0.1" if host == "private.test" else "127.0.0.1"
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]
socket.getaddrinfo = look_up
"""


class FakeNames:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "sitecustomize.py").write_text(RESOLVER)
        self.environment = {
            "PYTHONPATH": str(folder),
            "FAKE_NAMES": str(folder),
            "QGJOB_WEBHOOK_ALLOW": "127.0.0.0/8",
        }

    def hanging(self) -> list[str]:
        """Whose look-ups have begun, and do not end."""
        file = self.folder / "asked"
        return [name for name in file.read_text().split() if name.endswith(".hang.test")] if file.exists() else []

    def go_on(self) -> None:
        (self.folder / "go-on").touch()


@pytest.fixture
def names(tmp_path: Path, services: Services) -> Iterator[FakeNames]:
    """After `services`, whose processes end only when their threads have."""
    folder = tmp_path / "names"
    folder.mkdir()
    names = FakeNames(folder)
    yield names
    names.go_on()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


def ask(url: str, body: Any) -> Any:
    with urlopen(Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"}), timeout=60) as answer:
        return json.load(answer)


def refused_by(url: str, body: Any) -> str:
    with pytest.raises(HTTPError) as refused:
        ask(url, body)
    with refused.value as answer:
        return str(json.load(answer)["type"])


def test_deliveries_to_names_that_hang_keep_their_places_and_never_the_threads_of_others(
    engine: Engine, services: Services, names: FakeNames, receiver: Receiver
) -> None:
    api = services.api(**names.environment, QGJOB_WEBHOOK_TIMEOUT_S="1")
    quick = ask(f"{api}/webhooks", {"org_id": "acme", "url": f"http://good.test:{receiver.port}/",
                                    "events": ["run.submitted"]})  # fmt: skip
    assert services.qgjob("webhooks", "test", str(quick["webhook_id"])).returncode == 0
    for org in range(6):
        for number in range(10):
            engine.call("add_webhook", org_id=f"evil-{org}", url=f"https://{org}-{number}.hang.test/",
                        events=["run.submitted"])  # fmt: skip
        engine.submit("a.js", org=f"evil-{org}")
    given_up = (
        "select count(*) from qgjob.webhook_delivery where status = 'pending' and error like 'It did not answer%%'"
    )
    assert wait_until(lambda: engine.value(given_up) == 16, WAIT_S), engine.value(given_up)
    for number in range(8):  # each is claimed anew
        engine.submit(f"{number}.js")
        receiver.wait_for(number + 2)
    assert len(names.hanging()) == 16, "half of the room, and none in the place of those that were given up"
    of_an_org = [name.split("-")[0] for name in names.hanging()]
    assert max(map(of_an_org.count, of_an_org)) <= 8
    assert engine.value("select max(tries) from qgjob.webhook_delivery join qgjob.webhook using (webhook_id) "
                        "where org_id = 'acme'") == 1  # fmt: skip
    names.go_on()
    assert wait_until(lambda: len(set(names.hanging())) == 60, WAIT_S), "the places are free again"


def test_urls_with_names_that_hang_are_checked_one_at_a_time_and_not_for_long(
    engine: Engine, services: Services, names: FakeNames, receiver: Receiver
) -> None:
    api = services.api(**names.environment) + "/webhooks"
    good = {"org_id": "acme", "url": f"http://good.test:{receiver.port}/"}
    with ThreadPoolExecutor(12) as threads:
        adding = [
            threads.submit(ask, api, {"org_id": "evil", "url": f"https://{number}.hang.test/"}) for number in range(12)
        ]
        assert wait_until(lambda: len(names.hanging()) == 1, WAIT_S)
        assert refused_by(api, {"org_id": "evil", "url": "https://10.0.0.1/"}) == (
            "urn:qgjob:webhook_address_is_allowed"
        ), "an address needs no look-up"
        assert refused_by(api, {"org_id": "acme", "url": "https://private.test/"}) == (
            "urn:qgjob:webhook_address_is_allowed"
        ), "nor does it wait for another organisation's"
        webhook = ask(api, good)["webhook_id"]
        assert services.qgjob("webhooks", "test", str(webhook)).returncode == 0
        assert len({one.result()["webhook_id"] for one in adding}) == 12, "what is not known in time is judged later"
    assert len(names.hanging()) == 1
    with ThreadPoolExecutor(10) as threads:  # more than there are threads for it
        adding = [
            threads.submit(ask, api, {"org_id": f"evil-{org}", "url": f"https://{org}.hang.test/"}) for org in range(10)
        ]
        assert all(one.result()["webhook_id"] for one in adding)
    assert len(names.hanging()) == 8
    assert services.qgjob("webhooks", "test", str(webhook)).returncode == 0
    assert ask(api, good)["webhook_id"]
