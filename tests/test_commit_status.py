"""The shipped receiver of webhooks tells the commit the verdict, and believes nobody who cannot sign."""

import base64
import hashlib
import hmac
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import CHECKOUT
from stand_in import StandIn, environment, run

from qgjob.children import free_port, wait_until

SCRIPT = CHECKOUT / ".github" / "examples" / "commit-status.py"
KEY = b"0123456789abcdef01234567"
LABELS = {"github.repository": "acme/app", "github.sha": "0a1b2c3", "github.workflow": "Nightly", "github.job": "test"}
STATUS = "/repos/acme/app/statuses/0a1b2c3"


@pytest.fixture
def server() -> Iterator[StandIn]:
    """qgjob and GitHub in one."""
    with StandIn() as server:
        server.on("POST", STATUS, {})
        yield server


@pytest.fixture
def receiver(server: StandIn, tmp_path: Path) -> Iterator[str]:
    port = free_port()
    secret = f"whsec_{base64.b64encode(KEY).decode()}"
    variables = {"GITHUB_API_URL": server.url, "GITHUB_TOKEN": "ghs_x", "WEBHOOK_SECRET": secret, "PORT": str(port)}
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen([sys.executable, SCRIPT], env=environment(server, variables), stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        assert wait_until(lambda: send(url, {}, key=b"x") == 401, 30)
        yield url
    finally:
        process.kill()
        process.wait()


def send(url: str, event: dict[str, object], *, key: bytes = KEY, age_s: int = 0) -> int:
    body, at = json.dumps(event).encode(), str(int(time.time()) - age_s)
    signature = base64.b64encode(hmac.digest(key, f"msg_1.{at}.".encode() + body, hashlib.sha256)).decode()
    headers = {"webhook-id": "msg_1", "webhook-timestamp": at, "webhook-signature": f"v1,zzz v1,{signature}"}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except OSError:
        return 0


@pytest.mark.parametrize(
    ("counts", "state"),
    [
        ({"completed": 2, "flaky": 1}, "success"), ({"completed": 1, "failed": 1}, "failure"),
        ({"failed": 1, "infrastructure": 1}, "error"), ({"completed": 1, "cancelled": 1}, "error"), ({}, "error"),
    ],
)  # fmt: skip
def test_the_commit_is_told_the_verdict(server: StandIn, receiver: str, counts: dict[str, int], state: str) -> None:
    server.on("GET", "/runs/12", run(labels=LABELS, **counts))
    assert send(receiver, {"event": "run.finished", "run_id": 12, "org_id": "acme"}) == 204
    (told,) = server.asked("POST", STATUS)
    assert (told.body["state"], told.body["context"]) == (state, "qgjob / Nightly / test")
    assert told.headers["authorization"] == "Bearer ghs_x"


def test_who_cannot_sign_or_signs_again_later_is_not_believed(server: StandIn, receiver: str) -> None:
    server.on("GET", "/runs/12", run(labels=LABELS, completed=1))
    assert send(receiver, {"event": "run.finished", "run_id": 12}, key=b"other") == 401
    assert send(receiver, {"event": "run.finished", "run_id": 12}, age_s=3600) == 401
    assert server.requests == []


@pytest.mark.parametrize("labels", [{}, {"github.repository": "../user", "github.sha": "0a1b2c3"},
                                    {"github.repository": "acme/app", "github.sha": "x/../../y"}])  # fmt: skip
def test_labels_that_name_no_commit_lead_nowhere(server: StandIn, receiver: str, labels: dict[str, str]) -> None:
    server.on("GET", "/runs/12", run(labels=labels, completed=1))
    assert send(receiver, {"event": "run.finished", "run_id": 12}) == 204
    assert [request.path for request in server.requests] == ["/runs/12"]


def test_a_step_that_passes_hides_no_other_that_failed(server: StandIn, receiver: str) -> None:
    for step, counts in (("smoke 0", {"failed": 1}), ("smoke 1", {"completed": 1})):
        server.on("GET", "/runs/12", run(labels={**LABELS, "github.step": step}, **counts))
        assert send(receiver, {"event": "run.finished", "run_id": 12}) == 204
    told = {told.body["context"]: told.body["state"] for told in server.asked("POST", STATUS)}
    assert told == {"qgjob / Nightly / test / smoke 0": "failure", "qgjob / Nightly / test / smoke 1": "success"}


@pytest.mark.parametrize("missing", ["WEBHOOK_SECRET", "GITHUB_TOKEN"])
def test_a_receiver_that_could_tell_nobody_does_not_start(missing: str) -> None:
    given = {"WEBHOOK_SECRET": "whsec_eA==", "GITHUB_TOKEN": "ghs_x"}
    del given[missing]
    env = {name: value for name, value in os.environ.items() if name != missing} | given
    done = subprocess.run([sys.executable, SCRIPT], env=env, stderr=subprocess.PIPE, text=True, check=False, timeout=30)
    assert (done.returncode, done.stderr) == (1, f"{missing} is not set\n")


def test_what_failed_is_asked_for_again(server: StandIn, receiver: str) -> None:
    assert send(receiver, {"event": "run.finished", "run_id": 13}) == 502, "no such run, or no server"
    assert send(receiver, {"event": "job.failed", "job_id": 1}) == 204, "none of its business"
