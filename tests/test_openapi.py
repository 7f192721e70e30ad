"""The OpenAPI document keeps its promises: whatever a client makes of it is answered as it says, and never with 5xx."""

import json
import re
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

from engine import Engine
from processes import Services
from psycopg.types.json import Jsonb

# Few examples, and the same ones each time: a longer search is one flag away. Not asked for, because the framework
# decides it: the Allow header, which names the methods of one handler only, and that "1" is refused for 1.
SEARCH = [
    *("--phases=examples,coverage,fuzzing,stateful", "--max-examples=2", "--generation-deterministic"),
    # A stream of events goes on for as long as its run or job does.
    "--exclude-path-regex=/events$",
    *("--exclude-checks=allow_header_conformance,negative_data_rejection", "--request-timeout=70", "--no-color"),
]
# A schema cannot say everything: that a schedule has a cron expression or a time, for example. Such requests get 422.
CONFIG = """
[parameters]
wait = 0

[checks.positive_data_acceptance]
expected-statuses = ["2xx", 404, 409, 422, 429]
"""
STATES = """
  insert into qgjob.artifact (org_id, app_version_id, platform, url, sha256, created_at)
  values ('qualgent', 'v1.2.3', 'android', 'https://ci.example.com/app.apk', repeat('a', 64), now()) returning 1
"""


def test_the_document_keeps_its_promises(engine: Engine, services: Services, tmp_path: Path) -> None:
    """With a job that has ended, one that runs, a worker, a build and a schedule for it to find."""
    run = engine.submit("a.js", "b.js", org="qualgent", build="v1.2.3")
    driver = engine.drive()
    batch = engine.claim(driver)
    engine.run_job(batch.lease, run.job_ids[0])
    engine.rows(STATES)
    engine.call("add_schedule", org_id="qualgent", name="hourly", cron="0 * * * *", jobs=Jsonb([{"test_path": "a.js"}]))
    url = services.api()
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    done = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", "run", f"{url}/schema/openapi.json", *SEARCH],
        cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]


def test_the_page_needs_nobody_else(services: Services) -> None:
    """Behind a proxy too, and where nobody may go out."""
    url = services.api()
    page = urlopen(f"{url}/schema", timeout=30).read().decode()
    needed = re.findall(r"<(?:script|link)[^>]+(?:src|href)=[\"']([^\"']+)", page)
    assert len(needed) == 3
    for path in needed:
        with urlopen(url + path, timeout=30) as answer:
            assert answer.headers["content-type"].startswith(("text/javascript", "text/css"))
            assert len(answer.read()) > 10_000
    assert "https://cdn" not in page


def test_every_body_has_an_example_and_every_operation_its_problems(services: Services) -> None:
    with urlopen(f"{services.api()}/schema/openapi.json", timeout=30) as answer:
        document = json.load(answer)
    schemas = document["components"]["schemas"]
    assert document["security"] == [{"token": []}, {}]
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], (method, path)
            problems = operation["responses"]["422"]["content"]["application/problem+json"]
            assert problems["schema"]["$ref"].endswith("/Problem")
            body = operation.get("requestBody", {}).get("content", {}).get("application/json")
            if body:
                # One that may be left out is there beside null.
                (schema,) = (one for one in body["schema"].get("oneOf", [body["schema"]]) if one.get("type") != "null")
                name = schema["$ref"].rpartition("/")[2]
                assert schemas[name].get("examples"), name
                assert schemas[name].get("additionalProperties") is False, name
