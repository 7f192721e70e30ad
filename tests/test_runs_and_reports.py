"""`qgjob runs` and `qgjob report`, on a real service: what there was to do, and what became of it, also long after."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

from callers import ask
from engine import Engine
from processes import Services


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
    assert services.qgjob("runs", "--org-id=nobody").stderr == "no run matches\n"
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


def test_a_report_that_cannot_be_made_says_why(services: Services, tmp_path: Path) -> None:
    services.api()
    assert services.qgjob("report", "--run-id=7").returncode == 4
    refused = services.qgjob("report", "--run-id=7", f"--junit-xml={tmp_path}/no/such/folder.xml")
    assert refused.returncode == 2
    assert "cannot write" in refused.stderr
