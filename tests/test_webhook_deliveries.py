"""Webhooks through real API processes to real receivers: what arrives, and what every fault of a receiver does."""

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from engine import Engine
from guides import API, marked
from processes import CHECKOUT, Services
from receivers import Receiver

from qgjob.children import wait_until

LOCAL = {"QGJOB_WEBHOOK_ALLOW": "127.0.0.1/32"}
WAIT_S = 60


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


def ask(url: str, body: Any = None, method: str = "POST") -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = Request(url, data, {"Content-Type": "application/json"}, method=method)
    with urlopen(request, timeout=60) as answer:
        return json.load(answer)


def add(api: str, receiver: Receiver, *events: str, **more: Any) -> Any:
    addition = {"org_id": "acme", "url": receiver.url, "events": list(events or ["run.finished"])} | more
    return ask(f"{api}/webhooks", addition)


def hasten(engine: Engine) -> None:
    """What waits for its next try is due now."""
    engine.rows("with due as (update qgjob.webhook_delivery set next_at = qgjob.now() where status = 'pending' and "
                "claimed_at is null returning 1) select count(*) from due")  # fmt: skip


def statuses(engine: Engine) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in engine.rows(
        "select status, tries, status_code, error from qgjob.webhook_delivery order by delivery_id")]  # fmt: skip


def finish_a_run(engine: Engine, *tests: str, device: str = "phone-1") -> int:
    run = engine.submit(*(tests or ("a.js",)))
    driver = engine.drive(device)
    engine.run_all(driver)
    engine.call("end_worker", worker_id=driver.worker_id)  # or the next run's jobs would be left to this device
    return int(run.run_id)


def settled(engine: Engine, status: str, count: int = 1) -> bool:
    return wait_until(lambda: [row[0] for row in statuses(engine)].count(status) == count, WAIT_S)


def test_a_run_that_ends_is_told_signed_and_verified_by_others_code(
    engine: Engine, services: Services, receiver: Receiver
) -> None:
    api = services.api(**LOCAL, QGJOB_PUBLIC_URL="https://qgjob.example.com/")
    added = add(api, receiver)
    run_id = finish_a_run(engine, "a.js", "b.js")
    (one,) = receiver.wait_for(1)
    assert one.verified_by(added["secret"])
    assert not one.verified_by("whsec_" + "A" * 43 + "=")
    assert not one._replace(body=one.body.replace(b"acme", b"evil")).verified_by(added["secret"])
    assert one.headers["content-type"] == "application/json"
    assert (one.event["type"], one.event["data"]["run"]["run_id"], one.event["data"]["run"]["completed"]) == (
        "run.finished", run_id, 2,
    )  # fmt: skip
    assert settled(engine, "delivered")
    assert len(receiver.received) == 1


def test_what_is_sent_again_later_has_the_id_it_had_and_the_time_of_the_try(
    engine: Engine, services: Services, receiver: Receiver
) -> None:
    """A receiver refuses a request that somebody has kept: its timestamp is signed, and of that try."""
    receiver.answer = lambda number, _: (500 if number == 1 else 200, {})
    api = services.api(**LOCAL)
    secret = add(api, receiver)["secret"]
    finish_a_run(engine)
    (first,) = receiver.wait_for(1)
    assert wait_until(lambda: statuses(engine)[0][2] == 500, WAIT_S)
    hasten(engine)
    _, again = receiver.wait_for(2)
    assert again.id == first.id
    assert again.body == first.body
    assert settled(engine, "delivered")
    old = dict(first.headers) | {"webhook-timestamp": str(int(first.headers["webhook-timestamp"]) - 600)}
    assert not first._replace(headers=old).verified_by(secret), "neither an old time"
    stolen = dict(first.headers) | {"webhook-id": "msg_other"}
    assert not first._replace(headers=stolen).verified_by(secret), "nor another id"


def test_whatever_a_receiver_answers_is_told_in_our_words(
    engine: Engine, services: Services, receiver: Receiver
) -> None:
    webhook = add(services.api(**LOCAL), receiver)["webhook_id"]
    cases: list[tuple[int, dict[str, str], str]] = [
        (500, {"x-body": "secret words of the receiver"}, "HTTP 500 Internal Server Error"),
        (404, {}, "HTTP 404 Not Found"),
        (302, {"location": "http://127.0.0.1:9/elsewhere"}, "redirects are not followed"),
        (308, {"location": "/elsewhere"}, "redirects are not followed"),
        (799, {}, "HTTP 799"),
        (299, {}, ""),
        (-1, {}, "did not answer in HTTP"),
    ]
    for status, headers, words in cases:
        receiver.answer = lambda *_, answer=(status, headers): answer
        shell = services.qgjob("webhooks", "test", str(webhook))
        last = statuses(engine)[-1]
        assert last[:3] == ("dead" if words else "delivered", 1, status if status > 0 else None)
        assert (shell.returncode, words in shell.stdout) == (3 if words else 0, True)
        assert words in (last[3] or "")
        assert "secret words" not in shell.stdout + str(last)
    assert [one.path for one in receiver.received] == ["/hook"] * len(cases), "each asked once, and nobody else"


def test_retry_after_is_honoured(engine: Engine, services: Services, receiver: Receiver) -> None:
    receiver.answer = lambda *_: (503, {"retry-after": "3000"})
    add(services.api(**LOCAL), receiver)
    finish_a_run(engine)
    assert wait_until(lambda: bool(statuses(engine)) and statuses(engine)[0][2] == 503, WAIT_S)
    assert engine.value("select next_at > created_at + interval '49 min' from qgjob.webhook_delivery")


def test_a_retry_after_that_means_nothing_does_no_harm(engine: Engine, services: Services, receiver: Receiver) -> None:
    values = ["9" * 400, "-5", "soon", "Wed, 21 Oct 9999 07:28:00 GMT", "NaN"]
    receiver.answer = lambda number, _: (503, {"retry-after": values[(number - 1) % len(values)]})
    add(services.api(**LOCAL), receiver)
    for number in range(len(values)):
        finish_a_run(engine, device=f"phone-{number}")
    receiver.wait_for(len(values))
    assert wait_until(lambda: [row[2] for row in statuses(engine)] == [503] * len(values), WAIT_S)
    assert engine.value("select bool_and(next_at <= created_at + interval '13 h') from qgjob.webhook_delivery")


def test_410_disables_and_the_dead_are_redriven_when_it_is_enabled(
    engine: Engine, services: Services, receiver: Receiver
) -> None:
    receiver.answer = lambda number, _: (410 if number == 1 else 200, {})
    webhook = str(add(services.api(**LOCAL), receiver)["webhook_id"])
    finish_a_run(engine)
    assert settled(engine, "dead")
    assert "disabled: it answered 410 Gone" in services.qgjob("webhooks", "list").stdout
    assert services.qgjob("webhooks", "update", webhook, "--enable").returncode == 0
    assert services.qgjob("webhooks", "redrive", webhook).stdout == "1 redriven\n"
    first, again = receiver.wait_for(2)
    assert first.id == again.id
    assert settled(engine, "delivered")


def test_a_receiver_that_hangs_is_given_up_in_time(engine: Engine, services: Services, receiver: Receiver) -> None:
    receiver.go_on.clear()
    webhook = add(services.api(**LOCAL, QGJOB_WEBHOOK_TIMEOUT_S="1"), receiver)["webhook_id"]
    shell = services.qgjob("webhooks", "test", str(webhook))
    assert (shell.returncode, "did not answer within 1 s" in shell.stdout) == (3, True), shell


FAULTS = {
    "refused": "could not be connected to",
    "drips": "did not answer within 2 s",
    "endless head": "did not answer",
    "not http": "did not answer in HTTP",
    "large body": "Delivered · HTTP 200",
    "endless body": "Delivered · HTTP 200",
}


def misbehave(listener: socket.socket, fault: str, ended: threading.Event) -> None:
    """A socket of our own, because no HTTP library would do this."""
    try:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            if fault == "drips":
                while not ended.wait(0.05):
                    connection.sendall(b"H")
            elif fault == "endless head":
                connection.sendall(b"HTTP/1.1 200 OK\r\n")
                while not ended.is_set():
                    connection.sendall(b"x-more: " + b"a" * 1000 + b"\r\n")
            elif fault == "not http":
                connection.sendall(b"+PONG internal banner\r\n\r\n")
            elif fault == "large body":
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n" + b"a" * 100_000)
                ended.wait(60)
            elif fault == "endless body":
                connection.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
                while not ended.is_set():
                    connection.sendall(b"5\r\nhello\r\n")
    except OSError:
        pass


def test_faults_below_http_end_in_time_and_in_words(engine: Engine, services: Services) -> None:
    api = services.api(**LOCAL, QGJOB_WEBHOOK_TIMEOUT_S="2")
    for fault, expected in FAULTS.items():
        listener, ended = socket.create_server(("127.0.0.1", 0)), threading.Event()
        port = listener.getsockname()[1]
        if fault == "refused":
            listener.close()
        thread = threading.Thread(target=misbehave, args=(listener, fault, ended), daemon=True)
        thread.start()
        webhook = ask(f"{api}/webhooks", {"org_id": "acme", "url": f"http://127.0.0.1:{port}/"})["webhook_id"]
        shell = services.qgjob("webhooks", "test", str(webhook))
        ended.set()
        listener.close()
        assert (expected in shell.stdout, shell.returncode) == (True, 0 if "body" in fault else 3), (fault, shell)
        assert "banner" not in shell.stdout + services.qgjob("webhooks", "deliveries", str(webhook)).stdout


PRIVATE = [
    "http://127.0.0.1:{port}/",
    "https://localhost:{port}/",
    "http://[::1]:{port}/",
    "http://[::ffff:127.0.0.1]:{port}/",
    "https://169.254.169.254/latest/meta-data",
    "https://10.0.0.1/",
    "http://0x7f000001:{port}/",
    "http://127.1:{port}/",
    "https://[64:ff9b::7f00:1]:{port}/",
    "https://[fd00::1]/",
    "https://0.0.0.0:{port}/",
]


def test_addresses_that_are_not_public_are_refused_when_added_and_when_sent(
    engine: Engine, services: Services, receiver: Receiver
) -> None:
    api = services.api()
    for url in (url.format(port=receiver.port) for url in PRIVATE):
        with pytest.raises(HTTPError) as refused:
            ask(f"{api}/webhooks", {"org_id": "acme", "url": url})
        with refused.value as answer:
            assert json.load(answer)["type"] == "urn:qgjob:webhook_address_is_allowed", url
        # SQL knows nothing of networks.
        webhook = engine.call("add_webhook", org_id="acme", url=url).webhook_id
        engine.call("test_webhook", webhook_id=webhook)
    assert settled(engine, "dead", len(PRIVATE))
    assert {("not at a public address" in row[3], row[2]) for row in statuses(engine)} == {(True, None)}
    assert receiver.received == []


def test_numbers_that_no_column_holds_are_refused(services: Services, receiver: Receiver) -> None:
    api = services.api(**LOCAL)
    webhook = f"{api}/webhooks/{add(api, receiver)['webhook_id']}"
    assert ask(f"{webhook}/deliveries?delivery_id={2**53 - 1}", method="GET")["deliveries"] == []
    for path, body, method in (
        (f"/deliveries?delivery_id={2**63}", None, "GET"),
        (f"/redrive?delivery_id={2**63}", None, "POST"),
        ("/rotate-secret", {"overlap_h": 2**31}, "POST"),
        ("/rotate-secret", {"overlap_h": 169}, "POST"),
    ):
        with pytest.raises(HTTPError) as refused:
            ask(webhook + path, body, method)
        with refused.value as answer:
            assert answer.status == 422, path


def test_an_allowed_network_opens_nothing_else(engine: Engine, services: Services, receiver: Receiver) -> None:
    services.api(QGJOB_WEBHOOK_ALLOW="127.0.0.2/32, fd00::/8")
    webhook = engine.call("add_webhook", org_id="acme", url=receiver.url).webhook_id
    assert "not at a public address" in services.qgjob("webhooks", "test", str(webhook)).stdout
    assert receiver.received == []


def test_a_setting_that_cannot_be_meant_ends_the_api(services: Services) -> None:
    for name, value in (
        ("QGJOB_WEBHOOK_ALLOW", "everything"),
        ("QGJOB_WEBHOOK_ALLOW", "10.0.0.1/8"),
        ("QGJOB_WEBHOOK_TIMEOUT_S", "90"),
        ("QGJOB_PUBLIC_URL", "qgjob.example.com"),
    ):
        child = services.start(f"api-{name}-{value[:2]}", "api", "--port", "0", **{name: value})
        assert wait_until(lambda child=child: not child.running, WAIT_S)  # type: ignore[misc]
        assert (child.process.returncode, name in child.last_lines()) == (2, True)


def test_an_api_process_killed_before_it_could_say_so_has_another_deliver_again_under_the_same_id(
    engine: Engine, services: Services, receiver: Receiver
) -> None:
    receiver.go_on.clear()
    add(services.api("first", **LOCAL), receiver)
    finish_a_run(engine)
    receiver.wait_for(1)
    first = services._children["first"].process
    first.send_signal(signal.SIGKILL)
    first.wait()
    receiver.go_on.set()
    services.api("second", **LOCAL)
    engine.rows("update qgjob.webhook_delivery set next_at = qgjob.now() returning 1")  # its minute is over
    one, again = receiver.wait_for(2)
    assert (one.id, one.body) == (again.id, again.body)
    assert settled(engine, "delivered")


def test_an_api_process_that_is_told_to_end_finishes_what_is_on_its_way(
    engine: Engine, services: Services, receiver: Receiver
) -> None:
    receiver.go_on.clear()
    add(services.api("first", **LOCAL), receiver)
    finish_a_run(engine)
    receiver.wait_for(1)
    services._children["first"].process.send_signal(signal.SIGTERM)
    receiver.go_on.set()
    services.stop("first")
    assert settled(engine, "delivered")


def test_two_api_processes_deliver_each_event_once(engine: Engine, services: Services, receiver: Receiver) -> None:
    api = services.api("one", **LOCAL)
    services.api("other", **LOCAL)
    add(api, receiver, "job.*")
    run = engine.submit(*(f"{n}.js" for n in range(60)))
    engine.run_all(engine.drive())
    receiver.wait_for(120)
    assert settled(engine, "delivered", 120)
    assert len(receiver.received) == 120
    assert len({one.id for one in receiver.received}) == 120
    told = sorted((one.event["data"]["job_id"], one.event["type"]) for one in receiver.received)
    assert told == sorted((job, event) for job in run.job_ids for event in ("job.started", "job.completed"))
    assert receiver.most_open <= 4


def test_ten_thousand_events_for_a_receiver_that_hangs_hold_up_neither_the_engine_nor_others(
    engine: Engine, services: Services, receiver: Receiver
) -> None:
    with Receiver() as hanging:
        hanging.go_on.clear()
        api = services.api(**LOCAL)
        add(api, hanging, "#")
        for _ in range(3):
            add(api, hanging, "run.submitted")
        add(api, receiver)
        engine.rows(
            "select count(*) from pgmq.send_batch('webhooks', array(select jsonb_build_object('org_id', 'acme', "
            "'event', 'job.failed', 'n', n) from generate_series(1, 10000) as n))"
        )
        hanging.wait_for(1)
        run_ids = [finish_a_run(engine, f"{n}.js", device=f"phone-{n}") for n in range(20)]
        told = receiver.wait_for(20)
        assert sorted(one.event["data"]["run_id"] for one in told) == run_ids
        # Not by what hangs at the receiver: it still holds what was given up meanwhile.
        held = "select count(*) from qgjob.webhook_delivery where claimed_at is not null group by webhook_id"
        assert max(row[0] for row in engine.rows(held)) <= 4
        counted = "select count(*) from qgjob.webhook_delivery where webhook_id = 1"
        assert wait_until(lambda: engine.value(counted) > 10_000, WAIT_S)
        assert services.qgjob("list", "--org-id=acme", "--limit=1").returncode == 0
        hanging.go_on.set()


def test_an_organisation_whose_receivers_all_hang_has_a_quarter_of_the_room(
    engine: Engine, services: Services, receiver: Receiver
) -> None:
    """Its webhooks were quick until now, and it enables them again and again."""
    with Receiver() as hanging:
        hanging.go_on.clear()
        api = services.api(**LOCAL)
        evil = [add(api, hanging, "run.submitted", org_id="evil")["webhook_id"] for _ in range(12)]
        add(api, receiver, "run.submitted")
        engine.rows("update qgjob.webhook set slow = false returning 1")
        for number in range(4):
            engine.submit(f"{number}.js", org="evil")
        hanging.wait_for(8)
        for number in range(20):
            for webhook in evil[:3]:
                ask(f"{api}/webhooks/{webhook}", {"enabled": True}, "PATCH")
            engine.submit(f"{number}.js")
            receiver.wait_for(number + 1)
            held = "select count(*) from qgjob.webhook_delivery join qgjob.webhook using (webhook_id) "
            assert engine.value(held + "where org_id = 'evil' and claimed_at is not null") <= 8
        hanging.go_on.set()
    assert engine.value("select max(tries) from qgjob.webhook_delivery join qgjob.webhook using (webhook_id) "
                        "where org_id = 'acme'") == 1  # fmt: skip


def test_chats_are_told_in_their_own_form_and_hostile_names_are_only_names(
    engine: Engine, services: Services, receiver: Receiver
) -> None:
    name = "tests/<!channel> *a* [x](https:evil.example) & \u202egnp.js"
    api = services.api(**LOCAL, QGJOB_PUBLIC_URL="https://qgjob.example.com/")
    for form in ("slack", "teams"):
        add(api, receiver, format=form)
    engine.submit(name)
    driver = engine.drive()
    batch = engine.claim(driver)
    engine.start(batch.lease, batch.jobs[0]["job_id"])
    engine.finish(
        batch.lease, batch.jobs[0]["job_id"], "failed", "test", message="<!here>\n\x1b[31m<a href='x'>*bold*</a>"
    )
    engine.release(batch.lease)
    bodies = [json.loads(one.body) for one in receiver.wait_for(2)]
    (slack,) = [body for body in bodies if "blocks" in body]
    (teams,) = [body for body in bodies if "attachments" in body]
    assert slack["text"] == "❌ Run 1 of v1 failed"
    assert {block["type"] for block in slack["blocks"]} == {"header", "rich_text", "actions"}
    texts = [element for section in slack["blocks"][1]["elements"] for element in section["elements"]]
    assert {element["type"] for element in texts} == {"text"}, "never mrkdwn, a link or a mention"
    clean = "tests/<!channel> *a* [x](https:evil.example) & gnp.js (emulator)"
    assert clean in [element["text"] for element in texts]
    assert ": <!here> [31m<a href='x'>*bold*</a>\n" in [element["text"] for element in texts]
    assert slack["blocks"][2]["elements"][0]["url"] == "https://qgjob.example.com/runs/1"
    card = teams["attachments"][0]["content"]
    assert {block["type"] for block in card["body"]} == {"RichTextBlock"}, "TextBlock would read Markdown"
    runs = [run["text"] for block in card["body"] for run in block["inlines"]]
    assert f"{clean}: " in runs
    assert card["actions"][0]["url"] == "https://qgjob.example.com/runs/1"
    assert settled(engine, "delivered", 2)


NOTIFIERS = """
from api.notifiers import NotDelivered
class Pager:
    "A transport of its own: a file stands for the pager."
    schemes = ("pager",)
    async def notify(self, notice, post):
        if notice.url.endswith("busy"):
            raise NotDelivered("The pager is busy.", retry_after_s=3000)
        if notice.url.endswith("broken"):
            raise RuntimeError("secret of the plug-in")
        with open(notice.url.removeprefix("pager:"), "a") as file:
            file.write(notice.message_id + " " + notice.event["type"] + chr(10))
class Brief:
    "A format of its own."
    schemes = ("https", "http")
    async def notify(self, notice, post):
        return await post(notice.event["type"].encode(), "text/plain")
class Broken:
    def __init__(self):
        raise RuntimeError("needs a licence")
"""
ENTRY_POINTS = """[qgjob.notifiers]
pager = pagers:Pager
brief = pagers:Brief
broken = pagers:Broken
missing = nowhere:Nothing
"""


def plugged_in(folder: Path, entry_points: str, module: str, source: str) -> dict[str, str]:
    """The environment of a process that has such a package installed."""
    info = folder / "plugin-1.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entry_points)
    (folder / f"{module}.py").write_text(source)
    return {"PYTHONPATH": str(folder)}


def test_notifiers_of_others_are_found_and_broken_ones_break_nothing(
    engine: Engine, services: Services, receiver: Receiver, tmp_path: Path
) -> None:
    api = services.api(**LOCAL, **plugged_in(tmp_path / "plugin", ENTRY_POINTS, "pagers", NOTIFIERS))
    log = services._children["api"].last_lines(1000)
    assert "'broken'" in log
    assert "'missing'" in log
    file = tmp_path / "paged"
    pager = ask(f"{api}/webhooks", {"org_id": "acme", "url": f"pager:{file}", "format": "pager"})["webhook_id"]
    assert services.qgjob("webhooks", "test", str(pager)).returncode == 0
    assert file.read_text().split()[1] == "webhook.test"
    brief = add(api, receiver, format="brief")
    assert services.qgjob("webhooks", "test", str(brief["webhook_id"])).returncode == 0
    (one,) = receiver.received
    assert (one.body, one.headers["content-type"], one.verified_by(brief["secret"])) == (
        b"webhook.test",
        "text/plain",
        True,
    )
    for ending, words in (("busy", "The pager is busy."), ("broken", "The notifier pager failed: RuntimeError.")):
        ask(f"{api}/webhooks/{pager}", {"url": f"pager:{ending}"}, "PATCH")
        shell = services.qgjob("webhooks", "test", str(pager))
        assert words in shell.stdout
        assert "secret of the plug-in" not in shell.stdout
    for wrong, field in (
        ({"format": "broken"}, "format"),
        ({"format": "carrier-pigeon"}, "format"),
        ({"format": "pager"}, "url"),
        ({"url": "pager:x", "format": "json"}, "url"),
    ):
        with pytest.raises(HTTPError) as refused:
            add(api, receiver, **wrong)
        with refused.value as answer:
            assert json.load(answer)["field"] == field


def test_the_shell_adds_changes_lists_and_removes(engine: Engine, services: Services, receiver: Receiver) -> None:
    services.api(**LOCAL)
    added = services.qgjob(
        "webhooks", "add", "--org-id=acme", f"--url={receiver.url}", "--event=run.*", "--event=job.failed"
    )
    assert added.returncode == 0, added.stderr
    assert added.stdout.startswith("Webhook 1 · json · run.*, job.failed → http://127.0.0.1")
    secret = added.stdout.split("secret: ")[1].strip()
    listed = services.qgjob("webhooks", "list", "--org-id=acme", "--json").stdout
    assert secret not in listed
    assert json.loads(listed)["data"][0]["events"] == ["run.*", "job.failed"]
    assert services.qgjob("webhooks", "test", "1").stdout.startswith("Delivered · HTTP 200")
    rotated = (
        services.qgjob("webhooks", "update", "1", "--rotate", "--overlap-hours=1").stdout.split("secret: ")[1].strip()
    )
    services.qgjob("webhooks", "test", "1")
    last = receiver.wait_for(2)[1]
    assert (last.verified_by(secret), last.verified_by(rotated)) == (True, True)
    assert "webhook.test" in services.qgjob("webhooks", "deliveries", "1", "--status=delivered", "--limit=1").stdout
    receiver.answer = lambda *_: (500, {})
    assert services.qgjob("webhooks", "test", "1").returncode == 3
    assert services.qgjob("webhooks", "deliveries", "1", "--status=dead").stdout == ""
    assert "failed" in services.qgjob("webhooks", "deliveries", "1", "--status=failed").stdout
    assert services.qgjob("webhooks", "update", "1").returncode == 2
    assert services.qgjob("webhooks", "update", "1", "--disable", "--rotate").returncode == 2
    assert "disabled" in services.qgjob("webhooks", "update", "1", "--disable", "--description=x").stdout
    assert "There is no event" in services.qgjob("webhooks", "update", "1", "--event=run.ended").stderr
    assert services.qgjob("webhooks", "remove", "1").stdout == "Webhook 1 removed\n"
    for gone in (("remove", "1"), ("test", "1"), ("deliveries", "1"), ("redrive", "1"), ("update", "1", "--enable")):
        shell = services.qgjob("webhooks", *gone)
        assert (shell.returncode, "There is no webhook 1." in shell.stderr) == (4, True), gone


COMMANDS = """
import typer
def hello(name: str = "you") -> int:
    "Greet somebody."
    print("hello", name)
    return 3
app = typer.Typer()
@app.command()
def one(): print("one")
@app.command()
def two(): print("two")
"""
ADDED_COMMANDS = """[qgjob.commands]
hello = greetings:hello
several = greetings:app
submit = greetings:hello
broken = nowhere:command
leaves = leaver:command
"""


def test_commands_of_others_are_added_and_broken_ones_break_only_themselves(tmp_path: Path) -> None:
    environment = plugged_in(tmp_path, ADDED_COMMANDS, "greetings", COMMANDS)
    (tmp_path / "leaver.py").write_text("import sys; sys.exit('left')")

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", "qgjob", *words], env=environment | {"COLUMNS": "200"},
                              cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=False)  # fmt: skip

    assert (run("hello", "--name=Ann").returncode, run("hello", "--name=Ann").stdout) == (3, "hello Ann\n")
    assert run("several", "two").stdout == "two\n"
    assert "Greet somebody." in run("hello", "--help").stdout
    listed = run("--help")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert "Added by plugin." in listed.stdout
    assert "Submit tests of a build." in run("submit", "--help").stdout, "ours is never replaced"
    for broken, why in (("broken", "nowhere"), ("leaves", "left")):
        done = run(broken)
        assert done.returncode == 2
        assert done.stderr.startswith(f"warning: the command {broken} (")
        assert why in done.stderr
    program = (
        "import sys; from qgjob.__main__ import run; run(['--help']); run(['submit', '--help']); "
        "sys.exit('greetings' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=CHECKOUT, capture_output=True, check=False
    )
    assert done.returncode == 0, "help loads no plug-in"


def test_what_is_received_can_be_verified_by_what_the_guide_shows(receiver: Receiver) -> None:
    names: dict[str, Any] = {}
    exec(marked(API, "test_webhook_deliveries.py", "python"), names)
    body, secret = b'{"type": "run.finished"}', "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    import standardwebhooks, time  # noqa: E401, I001
    from datetime import UTC, datetime

    at = int(time.time())
    signature = standardwebhooks.Webhook(secret).sign("msg_1", datetime.fromtimestamp(at, UTC), body.decode())
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(at), "webhook-signature": f"v1,AAAA {signature}"}
    assert names["is_from_qgjob"](headers, body, secret)
    assert not names["is_from_qgjob"](headers, body + b" ", secret)
    assert not names["is_from_qgjob"](headers | {"webhook-timestamp": str(at - 600)}, body, secret)
    old = standardwebhooks.Webhook(secret).sign("msg_1", datetime.fromtimestamp(at - 600, UTC), body.decode())
    replayed = headers | {"webhook-timestamp": str(at - 600), "webhook-signature": old}
    assert not names["is_from_qgjob"](replayed, body, secret), "an old request that somebody kept"
