"""What sql/README.md shows can be typed as it stands, in its order, and its table of refusals is complete."""

import re
from pathlib import Path

from engine import Driver, Engine
from guides import GUIDES, SQL

from worker.replay.workload import read

CHECKOUT = Path(__file__).resolve().parents[1]
A_WORKER = "<!-- a worker runs what is pending -->"
MEASURED = re.compile("saved_s|install_s|p50_s|installs|device,")  # different wherever it is measured


def work(engine: Engine, driver: Driver) -> None:
    """Run everything; as in the simulated executor, the file names decide."""
    while batch := engine.claim(driver):
        if batch.install:
            engine.call("record_install", lease=batch.lease)
        for job in batch.jobs:
            fails = "fail" in job["test_path"] or ("flaky" in job["test_path"] and job["attempt"] == 1)
            engine.run_job(batch.lease, job["job_id"], *(("failed", "test") if fails else ()))
        engine.call("release_batch", lease=batch.lease)


def test_every_example_runs_and_what_is_not_measured_answers_as_shown(engine: Engine) -> None:
    driver = engine.drive()
    parts = re.findall(rf"```sql\n(.*?)```(?:\n\n```text\n(.*?)```)?|({A_WORKER})", GUIDES[SQL], re.DOTALL)
    assert len(parts) > 15
    for script, shown, worker in parts:
        if worker:
            work(engine, driver)
            continue
        for statement in filter(str.strip, script.split(";\n")):
            rows = engine.rows(statement)
            if not MEASURED.search(statement):
                values = [str(value) for row in rows for value in row if type(value) in (int, str) and value != ""]
                answers = re.sub(r"\(\d+ rows?\)", "", shown)
                assert [value for value in values if value not in answers] == [], statement


def test_what_ran_can_be_replayed(engine: Engine, tmp_path: Path) -> None:
    engine.submit("a.js", {"test_path": "b.js", "priority": "high"}, org="acme")
    engine.submit("c.js", org="other", build="v2")
    work(engine, engine.drive())
    engine.submit("waits.js")
    (query,) = re.findall(r"select [^;]* as at_s[^;]*", GUIDES[SQL])
    recorded = tmp_path / "history.csv"
    export = f"copy ({query.replace(' limit 2', '')}) to stdout (format csv, header)".encode()
    with engine.connection.cursor() as cursor, cursor.copy(export) as rows:
        recorded.write_bytes(b"".join(rows))
    first, second = read(recorded)
    assert [(test.path, test.priority) for test in first.tests] == [("a.js", "normal"), ("b.js", "high")]
    assert (first.at_s, second.at_s > 0, second.org_id, second.app_version_id) == (0, True, "other", "v2")


def test_every_refusal_is_listed() -> None:
    raised: dict[str, set[str]] = {}
    for file in [*CHECKOUT.glob("sql/**/*.sql"), *CHECKOUT.glob("alembic/versions/*.py")]:
        for state, rule in re.findall(r"errcode = '(QJ\d+)',\s*constraint = '([a-z0-9_]+)'", file.read_text()):
            raised.setdefault(state, set()).add(rule)
        for rule in re.findall(r"keep_history\('([a-z_]+)'", file.read_text()):
            raised.setdefault("QJ409", set()).add(rule)
        for field in re.findall(r"perform qgjob\.require_name\('([a-z_]+)'", file.read_text()):
            raised.setdefault("QJ422", set()).add(f"{field}_is_a_name")
    rows = re.findall(r"^\| `(QJ\d+)` \| [^|]+ \| (.*) \|$", GUIDES[SQL], re.MULTILINE)
    assert {state: set(re.findall("`([a-z0-9_]+)`", rules)) for state, rules in rows} == raised
