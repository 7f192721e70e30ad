"""A step of GitHub Actions as its environment tells it: who it is, and the files that it answers by.

The action replaces its shell by this program, because GitHub signals only the step's first process. So nobody is left
to read the exit code and write the outputs, and the program does it itself.
"""

import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from qgjob.cli import output
from qgjob.models.submission import RunSubmission

LONGEST_LABEL = 255  # what the server takes; names of workflows and of steps can be longer


def key(submission: RunSubmission, *, step: str, attempt: int) -> str | None:
    """The same for the same step of the same attempt, so that nothing is created twice; None outside of GitHub."""
    names = ("GITHUB_REPOSITORY_ID", "GITHUB_RUN_ID", "GITHUB_JOB")
    who = [os.environ.get(name, "") for name in names]
    if not output.in_github_step() or not all(who):
        return None
    what = msgspec.json.encode(msgspec.structs.replace(submission, labels={}, client_timeout_s=None))
    digest = hashlib.sha256(json.dumps([*who, attempt, step, what.decode()]).encode()).hexdigest()
    return f"github-{digest}"


def attempt() -> int:
    """1, and one more each time that somebody has jobs of the workflow run again."""
    text = os.environ.get("GITHUB_RUN_ATTEMPT", "")
    return int(text) if output.in_github_step() and text.isascii() and text.isdigit() else 1


def labels(step: str) -> dict[str, str]:
    """What a webhook's receiver needs to tell the commit how its tests went, in a status for this step alone."""
    if not output.in_github_step():
        return {}
    named = {
        "github.repository": os.environ.get("GITHUB_REPOSITORY", ""),
        "github.sha": head_sha() or os.environ.get("GITHUB_SHA", ""),
        "github.ref": os.environ.get("GITHUB_REF", ""),
        "github.run_id": os.environ.get("GITHUB_RUN_ID", ""),
        "github.run_attempt": os.environ.get("GITHUB_RUN_ATTEMPT", ""),
        "github.workflow": os.environ.get("GITHUB_WORKFLOW", ""),
        "github.job": os.environ.get("GITHUB_JOB", ""),
        "github.step": step.strip() or os.environ.get("GITHUB_ACTION", ""),
    }
    return {name: value[:LONGEST_LABEL] for name, value in named.items() if value}


def head_sha() -> str | None:
    """The commit that a pull request shows. GITHUB_SHA is a merge that nobody looks at."""
    try:
        event: Any = json.loads(Path(os.environ["GITHUB_EVENT_PATH"]).read_text(encoding="utf-8"))
        sha = event["pull_request"]["head"]["sha"]
    except (KeyError, OSError, ValueError, TypeError):
        return None
    return sha if isinstance(sha, str) else None


def write_outputs(values: Mapping[str, str]) -> None:
    """`name=value` lines for the steps that follow; a value of several lines between lines that it cannot contain."""
    file = os.environ.get("GITHUB_OUTPUT", "")
    if not file or not output.in_github_step():
        return
    lines: list[str] = []
    for name, value in values.items():
        if "\n" in value or "\r" in value:
            end = secrets.token_hex(16)
            lines += [f"{name}<<{end}", value, end]
        else:
            lines.append(f"{name}={value}")
    try:
        with Path(file).open("a", encoding="utf-8", errors="replace") as outputs:
            outputs.write("".join(f"{line}\n" for line in lines))
    except OSError as error:  # the verdict is worth more than the outputs
        output.say(f"warning: the outputs {', '.join(values)} were not written: {error}")


def summary_file() -> Path | None:
    file = os.environ.get("GITHUB_STEP_SUMMARY", "")
    return Path(file) if file and output.in_github_step() else None
