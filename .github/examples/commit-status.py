"""Receives qgjob's webhooks and tells the commit on GitHub how its tests went; for steps that do not wait.

    export QGJOB_SERVER_URL=https://qgjob.example.com QGJOB_TOKEN=qg_…
    GITHUB_TOKEN=… WEBHOOK_SECRET=whsec_… python commit-status.py

Needs nothing but Python. QGJOB_TOKEN reads runs (scope `read`), where the server asks for one; GITHUB_TOKEN may do one
thing: write commit statuses. Which commit a run is for, and which of its statuses, is in the labels that `qgjob ci`
gives it. Answering anything but 2xx makes qgjob send the event again, later.
"""

import base64
import hashlib
import hmac
import json
import os
import re
import sys
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SERVER = os.environ.get("QGJOB_SERVER_URL", "http://127.0.0.1:8080").rstrip("/")
GITHUB = os.environ.get("GITHUB_API_URL", "https://api.github.com").rstrip("/")
LARGEST = 1024 * 1024
TOLERANCE_S = 300
NAMED_BY = ("github.workflow", "github.job", "github.step")


def is_signed(headers, body):
    """Standard Webhooks: an HMAC over id, time and body; an old one is a replay."""
    key = base64.b64decode(os.environ["WEBHOOK_SECRET"].removeprefix("whsec_"))
    named, at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not at.isdigit() or abs(time.time() - int(at)) > TOLERANCE_S:
        return False
    wanted = base64.b64encode(hmac.digest(key, f"{named}.{at}.".encode() + body, hashlib.sha256)).decode()
    signatures = headers.get("webhook-signature", "").split()
    return any(hmac.compare_digest(f"v1,{wanted}", signature) for signature in signatures)


def ask(url, token=None, body=None):
    headers = {"accept": "application/json", "content-type": "application/json"}
    if token:
        headers["authorization"] = f"Bearer {token}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def status_of(run):
    """Nothing but passed tests, and at least one, is a success. Each step has a status of its own: in one for all, a
    step that passed would hide one that failed."""
    counts = ", ".join(f"{run[name]} {name}" for name in ("completed", "failed", "cancelled", "flaky") if run[name])
    if run["failed"] > run["infrastructure"]:
        state = "failure"
    else:
        state = "success" if run["total"] and run["completed"] == run["total"] else "error"
    return {
        "state": state,
        "context": " / ".join(["qgjob", *(run["labels"][name] for name in NAMED_BY if run["labels"].get(name))]),
        "description": f"run {run['run_id']}: {counts}"[:140],
        "target_url": f"{SERVER}/runs/{run['run_id']}",
    }


def tell(event):
    # The event says which run; how it went is asked of the server, so that nobody can tell a commit anything else.
    data = event.get("data", event)
    run = ask(f"{SERVER}/runs/{int(data['run_id'])}", os.environ.get("QGJOB_TOKEN"))
    labels = run["labels"]
    repository, commit = labels.get("github.repository", ""), labels.get("github.sha", "")
    # Who may submit chooses the labels: they name a commit, and lead nowhere else.
    if run["finished_at"] is None or not re.fullmatch(
        r"[\w-][\w.-]*/[\w-][\w.-]*#[0-9a-f]{7,64}", f"{repository}#{commit}"
    ):
        return
    ask(f"{GITHUB}/repos/{repository}/statuses/{commit}", os.environ["GITHUB_TOKEN"], status_of(run))


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        length = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(length) if 0 < length <= LARGEST else b""
        if not is_signed(self.headers, body):
            self.send_error(401)
            return
        try:
            event = json.loads(body)
            if event.get("event", event.get("type")) == "run.finished":
                tell(event)
        except (OSError, ValueError, KeyError) as error:
            self.send_error(502, str(error).splitlines()[0][:100])
            return
        self.send_response(204)
        self.end_headers()


if __name__ == "__main__":
    for name in ("WEBHOOK_SECRET", "GITHUB_TOKEN"):
        if not os.environ.get(name):
            sys.exit(f"{name} is not set")
    port = int(os.environ.get("PORT", "8090"))
    ThreadingHTTPServer(("127.0.0.1", port), Receiver).serve_forever()
