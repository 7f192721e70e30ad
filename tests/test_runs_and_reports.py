"""`qgjob runs` and `qgjob report`, on a real service: what there was to do, and what became of it, also long after."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

from callers import ask
from engine import Engine
from processes import Services
from psycopg.types.json import Jsonb


def test_a_run_is_listed_and_reported_while_it_goes_on_and_after_it(
    engine: Engine, services: Services, tmp_path: Path
) -> None:
    services.api()
    first = engine.submit("a.js", "b.js", org="acme", labels={"branch": "main"})
    elsewhere = {"test_path": "a.js", "target": "device"}
    engine.submit(elsewhere, org="acme", build="v2")
    engine.submit(elsewhere, org="globex")

    listed = services.qgjob("runs", "--org-id=acme", "--limit=1")
    assert "v2" in listed.stdout.splitlines()[1]
    assert "more: qgjob runs --org-id=acme --limit=1 --cursor=2\n" in listed.stderr
    listed = services.qgjob("runs", "--org-id=acme", "--limit=1", "--cursor=2")
    assert "branch=main" in listed.stdout
    assert "0 of 2 done" in listed.stdout
    assert services.qgjob("runs", "--org-id=acme", "--app-version-id=v2", "--quiet").stdout == "2\n"
    assert services.qgjob("runs", "--org-id=acme", "--label=branch=main", "--quiet").stdout == "1\n"
    assert services.qgjob("runs", "--org-id=acme", "--label=branch=main", "--label=pr=7", "--quiet").stdout == ""
    assert services.qgjob("runs", "--org-id=acme", "--label=branch").returncode == 2
    assert ask(f"{services.url}/runs?label=branch").body["type"] == "urn:qgjob:label_is_a_pair"
    listed = services.qgjob("list", "--org-id=acme", "--test=?.js", "--limit=1", "--target=emulator")
    assert "b.js" in listed.stdout
    assert "more: qgjob list --org-id=acme --target=emulator '--test=?.js' --limit=1 --cursor=2\n" in listed.stderr
    for command, empty in (("runs", "no run matches"), ("list", "no job matches"), ("groups", "no group has")):
        unknown = services.qgjob(command, "--org-id=acm")
        assert unknown.stderr.startswith(f"note: there is no organisation acm yet, beside acme\n{empty}")
        assert unknown.returncode == 0
    assert "there is no organisation acm yet" in services.qgjob("stats", "--org-id=acm").stderr
    assert services.qgjob("runs", "--org-id=acme", "--app-version-id=v9").stderr == "no run matches\n"
    made = services.qgjob("token", "create", "--org-id=acm", "--name=x").stderr
    assert made.startswith("note: there is no organisation acm yet, beside acme\n")
    assert [
        run["run_id"] for run in json.loads(services.qgjob("runs", "--org-id=acme", "--json").stdout)["data"]["runs"]
    ] == [2, 1]

    going_on = services.qgjob("report", f"--run-id={first.run_id}")
    assert going_on.stdout.startswith(
        f"### qgjob: [Run {first.run_id} is pending]({services.url}/runs/{first.run_id})\n"
    )
    assert "**0 of 2 done · 2 waiting**" in going_on.stdout

    lease = engine.claim(engine.drive()).lease
    engine.run_job(lease, first.job_ids[0])
    engine.start(lease, first.job_ids[1])
    engine.finish(lease, first.job_ids[1], "failed", "test", message="Expected: 1")
    results = tmp_path / "results.xml"
    ended = services.qgjob("report", f"--run-id={first.run_id}", f"--junit-xml={results}")
    assert ended.returncode == 0, "it was found; the verdict is that of status --watch"
    assert "Run 1 failed" in ended.stdout
    assert "| <code>b.js</code> | emulator | Expected&#58; 1 |" in ended.stdout
    assert len(ET.parse(results).findall(".//failure")) == 1
    shown = json.loads(services.qgjob("report", f"--run-id={first.run_id}", "--json").stdout)
    assert shown["schema"] == "qgjob.report/v1"
    assert [failure["test_path"] for failure in shown["data"]["failures"]] == ["b.js"]


def test_a_cancelled_run_says_what_goes_on_for_others(engine: Engine, services: Services) -> None:
    services.api()
    engine.submit("a.js", "b.js", "c.js")
    engine.submit("a.js", "b.js")
    engine.submit("b.js", "d.js")
    cancelled = services.qgjob("cancel", "--run-id=2")
    assert cancelled.stdout == "Cancelled 0 jobs · 2 jobs left to other runs that wait for them\n"
    shown = services.qgjob("status", "--run-id=2").stdout
    assert "2 jobs left to other runs: qgjob list --run-id=2\n" in shown
    cancelled = services.qgjob("cancel", "--run-id=3")
    assert cancelled.stdout == "Cancelled 1 job · 1 job left to other runs that wait for them\n"
    assert "nothing to cancel" in services.qgjob("cancel", "--run-id=3").stdout.lower()


def test_junit_tells_what_the_report_tells(engine: Engine, services: Services) -> None:
    services.api()
    run = engine.submit("cancelled.js", "fails.js", {"test_path": "flaky.js", "retries": 1}, "passes.js", "shared.js",
                        labels={"branch": "main"})  # fmt: skip
    cancelled, fails, flaky, passes, shared = run.job_ids
    engine.submit("shared.js")
    engine.call("cancel_job", job_id=cancelled)
    driver = engine.drive("lab-1")
    while batch := engine.claim(driver):
        for job in batch.jobs:
            job_id, failed = job["job_id"], job["job_id"] == fails or (job["job_id"] == flaky and job["attempt"] == 1)
            engine.start(batch.lease, job_id)
            tests = [{"title": "adds up", "status": "failed", "line": 7}]
            how = {"message": "Expected: 1\nReceived: 2", "tests": Jsonb(tests)} if failed else {}
            engine.finish(batch.lease, job_id, *(("failed", "test") if failed else ("completed",)), **how)
        engine.release(batch.lease)
    engine.connection.execute("update qgjob.job set run_id = null where job_id = %s", (shared,))
    engine.connection.execute("insert into qgjob.run_job values (%s, %s, false, true)", (run.run_id, shared))
    engine.connection.execute("update qgjob.batch set video_url = 'https://cloud.example/v', prepared_at = claimed_at")

    suite = ET.fromstring(ask(f"{services.url}/runs/{run.run_id}/junit.xml").body)[0]
    assert [suite.attrib[name] for name in ("tests", "failures", "errors", "skipped")] == ["5", "1", "0", "2"]
    of_run = properties(suite)
    assert of_run["run_url"] == f"{services.url}/runs/{run.run_id}"
    assert (of_run["app_version_id"], of_run["run_attempts"], of_run["label.branch"]) == ("v1", "5", "main")
    cases = {case.attrib["name"]: case for case in suite.iter("testcase")}
    assert [case[0].tag for case in cases.values()] == ["properties"] * 5, "schemas want them first"
    assert cases["fails.js"].attrib["line"] == "7"
    failed = properties(cases["fails.js"])
    assert (failed["device"], failed["attempts"], failed["failed_test"]) == ("lab-1", "1", "adds up")
    assert failed["video_url"] == "https://cloud.example/v"
    assert "flaky" not in failed
    again = properties(cases["flaky.js"])
    assert (again["flaky"], again["attempts"]) == ("true", "2")
    assert [(node.attrib["message"], node.text) for node in cases["flaky.js"].iter("flakyFailure")] == [
        ("Expected: 1", "Expected: 1\nReceived: 2")
    ]
    assert properties(cases["passes.js"]) == {"job_id": str(passes), "attempts": "1", "device": "lab-1"}
    skipped = {name for name, case in cases.items() if case.find("skipped") is not None}
    assert skipped == {"cancelled.js", "shared.js"}, "the report counts what was left to another run as cancelled, too"

    public = services.api("public", QGJOB_PUBLIC_URL="https://qgjob.example.com")
    suite = ET.fromstring(ask(f"{public}/runs/{run.run_id}/junit.xml").body)[0]
    assert properties(suite)["run_url"] == f"https://qgjob.example.com/runs/{run.run_id}"


def properties(element: ET.Element) -> dict[str, str]:
    return {one.attrib["name"]: one.attrib["value"] for one in element.findall("properties/property")}


def test_a_report_that_cannot_be_made_says_why(services: Services, tmp_path: Path) -> None:
    services.api()
    assert services.qgjob("report", "--run-id=7").returncode == 4
    refused = services.qgjob("report", "--run-id=7", f"--junit-xml={tmp_path}/no/such/folder.xml")
    assert refused.returncode == 2
    assert "cannot write" in refused.stderr
