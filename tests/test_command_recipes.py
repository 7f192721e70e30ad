"""The guide's recipes for other runners do what it says: each is run as written, by the real pytest, and by stand-ins
that take the arguments and write the reports of Maestro and of Detox with jest-junit."""

import os
import shlex
import sys
from pathlib import Path

import pytest
from adb_lab import backend, build, on, using
from appium_home import program
from batches import batch, drive, finished, no_devices, run
from fake_device import Lab
from guides import WORKER, marked
from msgspec.structs import replace

from worker.__main__ import settings
from worker.devices import Backend
from worker.executors import Event, Executor, Finished, Options, load

# Maestro 2: `test` writes its report only when asked to, and ends with 1 when a flow failed.
MAESTRO = """
import sys, time
from pathlib import Path
device, verb, flow, *rest = sys.argv[2:]
assert sys.argv[1] == "--device" and verb == "test" and rest[:3] == ["--format", "junit", "--output"], sys.argv
text = Path(flow).read_text()
assert text.startswith("appId:"), "Unable to parse " + flow
name, failed = Path(flow).stem, "notVisible" in text
print(f"Running on {device}\\n [{'Failed' if failed else 'Passed'}] {name} (1s)")
said = "<failure>Assertion is false: &quot;Thank you&quot; is visible</failure>" if failed else ""
Path(rest[3]).write_text(
    "<?xml version='1.0' encoding='UTF-8'?>\\n<testsuites>\\n"
    f'  <testsuite name="Test Suite" device="{device}" tests="1" failures="{int(failed)}" time="1">\\n'
    f'    <testcase id="{name}" name="{name}" classname="{name}" time="1" '
    f'status="{"ERROR" if failed else "SUCCESS"}">{said}</testcase>\\n  </testsuite>\\n</testsuites>\\n')
sys.exit(failed)
"""
# Detox calls Jest, whose reporter jest-junit writes where the environment says. Its testcases carry the names twice.
DETOX = """
import os, sys
from pathlib import Path
assert sys.argv[1:5] == ["detox", "test", "--configuration", "android.att.release"], sys.argv
assert sys.argv[5:7][0] == "--device-name" and "--reuse" in sys.argv, sys.argv
spec = sys.argv[-1]
failed = "fails" in Path(spec).read_text()
said = '<failure>Error: Test Failed: View &quot;cart&quot; is not visible\\n  at check</failure>' if failed else ""
Path(os.environ["JEST_JUNIT_OUTPUT_FILE"]).write_text(
    f'<?xml version="1.0" encoding="UTF-8"?>\\n<testsuites name="jest tests" tests="2">\\n'
    f'  <testsuite name="cart" errors="0" failures="{int(failed)}" skipped="1" tests="2">\\n'
    f'    <testcase classname="cart is shown" name="cart is shown" time="1.5">{said}</testcase>\\n'
    '    <testcase classname="cart later" name="cart later" time="0"><skipped/></testcase>\\n'
    '  </testsuite>\\n</testsuites>\\n')
sys.exit(failed)
"""


def recipe(tool: str) -> dict[str, object]:
    """The settings of its command line in the guide."""
    lines = marked(WORKER, "test_command_recipes.py").replace("\\\n", " ").splitlines()
    words = shlex.split(next(line for line in lines if line.startswith("python -m worker") and tool in line))
    return settings([words[at + 1] for at, word in enumerate(words) if word == "--setting"], "--setting")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With the stand-ins on the PATH, as the tools would be."""
    for name, source in (("maestro", MAESTRO), ("npx", DETOX)):
        (tmp_path / f"{name}.py").write_text(source)
        program(tmp_path / "bin" / name, f'exec {sys.executable} {tmp_path / name}.py "$@"')
    path = f"{tmp_path / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    monkeypatch.setenv("PATH", path)
    (tmp_path / "project").mkdir()
    return tmp_path / "project"


def executor(project: Path, tool: str, devices: Backend | None = None) -> Executor:
    return load("command", Options(project, devices or no_devices(), recipe(tool)))


def write(project: Path, **specs: str) -> list[str]:
    """Files by name, `__` in it being the dot."""
    for name, content in specs.items():
        (project / name.replace("__", ".")).write_text(content)
    return [name.replace("__", ".") for name in specs]


def kinds(verdicts: dict[int, Finished]) -> list[str]:
    return [verdict.failure_kind or verdict.status for _, verdict in sorted(verdicts.items())]


def test_pytest(project: Path) -> None:
    paths = write(
        project,
        test_good__py="def test_sum():\n    assert 1 + 1 == 2\n",
        test_bad__py="def test_fine(): pass\ndef test_total():\n    assert 41 == 42, 'the total'\n",
        test_broken__py="import nowhere\n",
        test_none__py="",
    )
    verdicts = finished(run(executor(project, "pytest"), batch(*paths)))
    # What cannot be collected, or holds no test, is no verdict: exit codes 2 and 5.
    assert kinds(verdicts) == ["completed", "test", "infrastructure", "infrastructure"]
    assert (verdicts[2].message or "").startswith("AssertionError: the total")
    assert [(test["title"], test["status"]) for test in verdicts[2].tests] == [
        ("test_bad › test_fine", "passed"), ("test_bad › test_total", "failed"),
    ]  # fmt: skip


def test_maestro(project: Path) -> None:
    flow = "appId: com.example.shop\n---\n- launchApp\n"
    paths = write(project, good__yaml=flow, bad__yaml=flow + "- assertVisible: Thank you # notVisible\n", odd__yaml="-")
    verdicts = finished(run(executor(project, "maestro"), batch(*paths)))
    assert kinds(verdicts) == ["completed", "test", "infrastructure"]
    assert verdicts[2].message == 'Assertion is false: "Thank you" is visible'
    assert "it wrote no result file" in (verdicts[3].message or "")


def test_maestro_is_told_the_device_by_its_serial(project: Path, lab: Lab, tmp_path: Path) -> None:
    device = lab.device()
    devices = backend(lab)
    (flow,) = write(project, good__yaml="appId: com.example.shop\n")
    of = on(device, build(tmp_path))
    job = of.jobs[0]
    of = replace(of, jobs=[replace(job, test_path=flow)])

    async def work() -> list[Event]:
        await devices.install(of)
        return await drive(executor(project, "maestro", devices), of)

    events = using(devices, work)
    assert finished(events)[1].status == "completed"
    assert any(f"Running on {device.serial}\n" in str(getattr(event, "text", "")) for event in events)


def test_detox(project: Path) -> None:
    paths = write(project, good__e2e__js="passes", bad__e2e__js="fails")
    verdicts = finished(run(executor(project, "detox"), batch(*paths)))
    assert kinds(verdicts) == ["completed", "test"]
    assert (verdicts[2].message or "").startswith('Error: Test Failed: View "cart" is not visible')
    assert [test["status"] for test in verdicts[2].tests] == ["failed", "skipped"]


def test_anything_with_an_exit_code(project: Path) -> None:
    program(project / "run-spec", 'grep -q pass "$1" || { echo "no pass in $1"; exit 3; }')
    paths = write(project, good__txt="pass", bad__txt="-")
    verdicts = finished(run(executor(project, "run-spec"), batch(*paths)))
    assert kinds(verdicts) == ["completed", "test"]
    assert verdicts[2].message == "exit code 3: no pass in bad.txt"
