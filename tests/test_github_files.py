"""What GitHub and container tools read is valid, safe, and says the same as the documents."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from github_runner import read
from guides import ACTION as GUIDE
from guides import GUIDES

ROOT = Path(__file__).resolve().parents[1]
GITHUB = ROOT / ".github"
ACTION = GITHUB / "actions" / "run-tests" / "action.yml"
SCHEMAS = {
    "vendor.github-workflows": ["workflows/*.yml", "examples/*.yml"],
    "vendor.github-actions": ["actions/*/action.yml"],
    "vendor.github-issue-forms": ["ISSUE_TEMPLATE/[!c]*.yml"],
    "vendor.github-issue-config": ["ISSUE_TEMPLATE/config.yml"],
    "vendor.dependabot": ["dependabot.yml"],
    "vendor.compose-spec": ["../compose.yaml"],
}
EXPRESSION = "${{"


def tool(name: str, *arguments: str | Path) -> None:
    command = [Path(sys.executable).with_name(name), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def runs(document: Any) -> list[str]:
    """Every `run:` of a workflow or an action."""
    parts = [document["runs"]] if "runs" in document else document["jobs"].values()
    return [step["run"] for part in parts for step in part["steps"] if "run" in step]


def files(*patterns: str) -> list[Path]:
    found = [path for pattern in patterns for path in sorted(GITHUB.glob(pattern))]
    assert found
    return found


WRITTEN_FOR_GITHUB = files("workflows/*.yml", "examples/*.yml", "actions/*/action.yml")


@pytest.mark.parametrize("schema", SCHEMAS)
def test_the_files_follow_their_schemas(schema: str) -> None:
    tool("check-jsonschema", "--builtin-schema", schema, *files(*SCHEMAS[schema]))


def test_the_workflows_and_the_action_have_no_known_weakness() -> None:
    tool("zizmor", "--offline", "--strict-collection", "--quiet", "--no-progress", GITHUB, *files("examples/*.yml"))


@pytest.mark.parametrize("file", WRITTEN_FOR_GITHUB, ids=lambda file: file.name)
def test_no_expression_stands_in_a_script(file: Path) -> None:
    scripts = runs(read(file))
    assert [script for script in scripts if EXPRESSION in script] == []


def test_the_client_gets_the_signals_of_the_step_that_it_runs_in() -> None:
    steps = [script for script in runs(read(ACTION)) if re.search('bin/qgjob" (ci|cancel)', script)]
    assert len(steps) == 2
    assert [script.splitlines()[-1].split()[0] for script in steps] == ["exec", "exec"]
    assert [len(script.strip().splitlines()) for script in steps] == [1, 1], "no logic in bash"


def test_workflows_ask_for_their_permissions_one_by_one() -> None:
    for file in files("workflows/*.yml", "examples/*.yml"):
        workflow = read(file)
        assert workflow["permissions"] == {}, file
        assert all("permissions" in job and "timeout-minutes" in job for job in workflow["jobs"].values()), file


def test_examples_and_workflows_give_the_action_what_it_takes() -> None:
    action = read(ACTION)
    required = {name for name, declared in action["inputs"].items() if declared.get("required")}
    used = 0
    for file in files("workflows/*.yml", "examples/*.yml"):
        for job in read(file)["jobs"].values():
            for step in job["steps"]:
                if "actions/run-tests" in step.get("uses", ""):
                    used += 1
                    assert read_outputs(file) <= action["outputs"].keys(), file
                    assert required <= step["with"].keys() <= action["inputs"].keys(), file
    assert used == 7


def read_outputs(file: Path) -> set[str]:
    """The outputs of steps that its expressions ask for."""
    return set(re.findall(r"steps\.(?:tests|passing|failing|homeless)\.outputs\.([a-z-]+)", file.read_text()))


def test_the_outputs_are_documented() -> None:
    listed = re.findall(r"^\| `([a-z-]+)` \|", GUIDES[GUIDE].split("| output |")[1].split("\n## ")[0], re.MULTILINE)
    assert listed == list(read(ACTION)["outputs"])


def test_the_inputs_are_documented_as_they_are() -> None:
    declared = {
        name: "required" if entry.get("required") else str(entry.get("default", ""))
        for name, entry in read(ACTION)["inputs"].items()
    }
    tables = 0
    for document in {*ROOT.glob("*.md"), *GITHUB.rglob("*.md"), *map(ROOT.joinpath, GUIDES)}:
        rows = re.findall(r"^\| `([a-z-]+)` \| ([^|]*?) ?\|.*\|$", document.read_text(), re.MULTILINE)
        listed = {name: default.strip("`") for name, default in rows if name in declared}
        if len(listed) > 2:
            tables += 1
            assert listed == declared, document
    assert tables
