"""qgjob dev as a newcomer starts it, with the real runner where Node is present: from its first line to its end."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import node
import pytest

from qgjob.children import wait_until


@pytest.mark.parametrize("runner", ["simulated", "playwright"])
def test_dev_serves_the_samples(tmp_path: Path, runner: str) -> None:
    environment = dict(os.environ)
    if runner == "playwright":
        node.installed()
    else:  # as on a machine without Node
        environment["PATH"] = os.pathsep.join(
            folder for folder in environment["PATH"].split(os.pathsep) if not shutil.which("node", path=folder)
        )
    with (tmp_path / "talk").open("w") as talk:
        dev = subprocess.Popen(
            [sys.executable, "-m", "qgjob", "dev", "--port", "0"],
            cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=talk, text=True,
        )  # fmt: skip
        try:
            assert dev.stdout
            name, _, url = dev.stdout.readline().strip().partition("=")
            assert name == "export QGJOB_SERVER_URL", (tmp_path / "talk").read_text()
            submitted = subprocess.run(
                [sys.executable, "-m", "qgjob", "submit", "--org-id=acme", "--app-version-id=v1", "--retries=1",
                 "--test=tests/*.spec.js", "--target=emulator", "--target=device", "--wait", "--json"],
                cwd=node.SAMPLES, env=environment | {"QGJOB_SERVER_URL": url}, capture_output=True, text=True,
                timeout=120, check=False,
            )  # fmt: skip
            talked = dict(line.split(None, 1) for line in (tmp_path / "talk").read_text().splitlines() if " " in line)
            asked = [*shlex.split(talked["psql"]), "-Atc", "select distinct status from reporting.jobs order by 1"]
            told = subprocess.run(asked, capture_output=True, text=True, timeout=30, check=True).stdout
        finally:
            dev.terminate()
            code = dev.wait(30)
            if dev.stdout:
                dev.stdout.close()
    assert submitted.returncode == 1, submitted.stderr
    assert told == "completed\nfailed\n"
    run = json.loads(submitted.stdout)["data"]
    assert (run["completed"], run["failed"], run["flaky"]) == (14, 2, 2)
    assert run["installs"] <= 4 < run["attempts"]
    simulated = "simulated:" in json.dumps(run["not_passed"])
    assert simulated == (runner == "simulated"), run["not_passed"]
    assert code == 0
    left = ["pgrep", "-f", str(tmp_path)]
    assert wait_until(lambda: subprocess.run(left, capture_output=True, check=False).stdout == b"", 5)
