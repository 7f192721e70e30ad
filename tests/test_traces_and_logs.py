"""A run is one trace from the command to the attempts, and log lines carry the ids that they are about."""

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from engine import Engine, refused
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from processes import CHECKOUT, Services

from qgjob import tracing
from qgjob.children import wait_until

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
CALLER = f"00-{TRACE_ID}-b7ad6b7169203331-01"


class Collector:
    """Takes OTLP over HTTP, as a collector does."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Any]] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    raise NotImplementedError
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    named = {one.key: one.value.string_value for one in resource.resource.attributes}
                    for scope in resource.scope_spans:
                        collector.spans += [(named["service.name"], span) for span in scope.spans]
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def named(self, service: str, name: str) -> list[Any]:
        return [span for of, span in self.spans if (of, span.name) == (service, name)]


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.server.shutdown()
    collector.server.server_close()


def attributes(span: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


def test_submit_claim_and_attempts_are_one_trace(services: Services, collector: Collector) -> None:
    otel = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    services.api(**otel)
    services.worker("lab", "--setting", "duration_s=0.01", **otel)
    done = services.qgjob(
        "submit", "--org-id=acme", "--app-version-id=v1", "--test=tests/coupon-fail.spec.js",
        "--test=tests/login.spec.js", "--wait", TRACEPARENT=CALLER,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert wait_until(lambda: len(collector.named("qgjob-worker", "attempt")) == 2, 30)
    assert wait_until(lambda: collector.named("qgjob-api", "POST /runs") != [], 30)
    (submit,) = collector.named("qgjob-api", "POST /runs")
    claims = collector.named("qgjob-worker", "claim batch")  # one batch or two
    attempts = collector.named("qgjob-worker", "attempt")
    assert {span.trace_id.hex() for span in (submit, *claims, *attempts)} == {TRACE_ID}
    assert submit.parent_span_id.hex() == CALLER.split("-")[2]
    assert {claim.parent_span_id for claim in claims} == {submit.span_id}
    assert {span.parent_span_id for span in attempts} == {claim.span_id for claim in claims}
    told = {attributes(span)["qgjob.test_path"]: attributes(span) for span in attempts}
    assert told["tests/coupon-fail.spec.js"]["qgjob.failure_kind"] == "test"
    assert told["tests/login.spec.js"]["qgjob.status"] == "completed"
    assert attributes(submit)["http.response.status_code"] == 201
    assert not collector.named("qgjob-api", "GET /health")


def test_what_workers_ask_all_the_time_is_in_no_trace(services: Services, collector: Collector) -> None:
    otel = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    url = services.api(**otel)
    services.worker("lab", "--server", url)
    done = services.qgjob("submit", "--org-id=acme", "--app-version-id=v1", "--test=tests/login.spec.js", "--wait")
    assert done.returncode == 0, done.stderr
    assert wait_until(lambda: collector.named("qgjob-api", "PUT /jobs/{job_id}") != [], 30)
    asked = {span.name for of, span in collector.spans if of == "qgjob-api"}
    assert "POST /workers/{worker_id}/devices" in asked
    assert not {name for name in asked if "heartbeat" in name or "claims" in name}


def test_a_trace_context_is_kept_and_what_is_none_is_not(engine: Engine, services: Services) -> None:
    url = services.api()
    for traceparent in (CALLER, "00-zero", f"00-{'0' * 32}-b7ad6b7169203331-01", f"{CALLER}x"):
        body = json.dumps({"org_id": "acme", "app_version_id": "v1", "test_path": "a.js", "dedupe": False}).encode()
        headers = {"Content-Type": "application/json", "traceparent": traceparent}
        urlopen(Request(f"{url}/jobs", body, headers), timeout=30).close()
    assert engine.rows("select traceparent from qgjob.run order by run_id") == [(CALLER,), (None,), (None,), (None,)]
    with refused("traceparent_is_w3c"):
        engine.submit("b.js", traceparent="mine")


def test_a_command_has_a_trace_where_somebody_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TRACEPARENT", *tracing.ENDPOINTS, "OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER"):
        monkeypatch.delenv(name, raising=False)
    assert tracing.of_command() is None
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    own = tracing.of_command()
    assert own is not None
    assert tracing.checked(own) == own
    monkeypatch.setenv("TRACEPARENT", CALLER)
    assert tracing.of_command() == CALLER
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert not tracing.is_wanted()


def test_nothing_is_imported_where_nobody_traces() -> None:
    program = (
        "import sys, api.app, worker.loop, worker.spans, qgjob.tracing as t; assert t.start('x') is None; "
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr


def lines(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_log_lines_say_what_they_are_about(services: Services, tmp_path: Path) -> None:
    services.api(QGJOB_LOG="json")
    child = services.start(
        "lab", "worker", "--name", "lab", "--executor", "simulated", "--setting", "duration_s=0.01", QGJOB_LOG="json"
    )
    done = services.qgjob("submit", "--org-id=acme", "--app-version-id=v1", "--test=tests/login.spec.js", "--wait")
    assert done.returncode == 0, done.stderr
    assert child.running
    (submitted,) = [line for line in lines(tmp_path / "api.log") if line.get("method") == "POST"]
    assert (submitted["path"], submitted["status"], submitted["org_id"], submitted["run_id"]) == (
        "/runs",
        201,
        "acme",
        1,
    )
    assert re.fullmatch("[0-9a-f]{16}", submitted["request_id"])
    (batch,) = [line for line in lines(tmp_path / "lab.log") if "1 job of" in line["message"]]
    assert (batch["batch_id"], batch["org_id"], batch["device"], batch["level"]) == (1, "acme", "lab-1", "info")


def test_a_request_keeps_its_id(services: Services) -> None:
    url = services.api()
    for given, kept in (("build-4711", True), ("a b", False), ("x" * 65, False)):
        with urlopen(Request(f"{url}/jobs", headers={"X-Request-Id": given}), timeout=30) as answer:
            assert (answer.headers["X-Request-Id"] == given) is kept


def test_a_log_that_is_neither_plain_nor_json_is_refused() -> None:
    for service in (["api"], ["worker", "--executor", "simulated"]):
        done = subprocess.run(
            [sys.executable, "-m", *service], cwd=CHECKOUT, capture_output=True, text=True, timeout=60,
            env={"QGJOB_LOG": "xml", "QGJOB_DATABASE_URL": "postgresql://x", "PATH": "", "HOME": "/nonexistent"},
        )  # fmt: skip
        assert (done.returncode, "QGJOB_LOG is plain or json" in done.stderr) == (2, True), done.stderr
