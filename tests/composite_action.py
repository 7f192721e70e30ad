"""Executes the steps of a composite action as GitHub's runner does: the same shells, files, conditions and signals.

Only what the project's action uses is understood; everything else is an error, not a guess.
"""

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML

ACTION = Path(__file__).resolve().parents[1] / ".github" / "actions" / "run-tests" / "action.yml"
SHELL = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail"]
STEP_KEYS = {"name", "id", "if", "shell", "working-directory", "env", "run"}


class Done(NamedTuple):
    result: str
    exit: int | None
    outputs: dict[str, str]
    log: str
    steps: list[str]


def read(file: Path = ACTION) -> Any:
    return YAML(typ="safe").load(file)


def evaluate(expression: str, names: dict[str, str], *, ok: bool = True, cancelled: bool = False) -> Any:
    """`inputs.x`, `steps.y.outputs.z`, text, `==`, `!=`, `&&` and `cancelled()`; an output nobody wrote is empty."""
    values: dict[str, Any] = {"true": True, "false": False}

    def name(match: re.Match[str]) -> str:
        if match[0].startswith("'"):
            return match[0]
        if match[0] == "cancelled()":
            return str(cancelled)
        if match[0].startswith("steps."):
            return repr(names.get(match[0], ""))
        return repr(names[match[0]])

    python = re.sub(r"'[^']*'|cancelled\(\)|[a-z]+(?:\.[a-z-]+)+", name, expression).replace("&&", " and ")
    return eval(" ".join(python.split()), {"__builtins__": {}}, values)


def fill(text: str, names: dict[str, str]) -> str:
    return re.sub(r"\$\{\{(.*?)\}\}", lambda match: str(evaluate(match[1].strip(), names)), text)


def is_due(step: Any, names: dict[str, str], *, ok: bool, cancelled: bool) -> bool:
    condition = step.get("if", "").strip().removeprefix("${{").removesuffix("}}").strip()
    if "cancelled()" in condition:
        return bool(evaluate(condition, names, ok=ok, cancelled=cancelled))
    return ok and not cancelled and (not condition or bool(evaluate(condition, names)))


def execute(
    folder: Path,
    inputs: dict[str, str],
    environment: dict[str, str],
    *,
    cancel_when: Callable[[], bool] | None = None,
    signals: bool = True,
) -> Done:
    """All steps with these inputs, `folder` being the workspace; cancelled as soon as `cancel_when` says so."""
    action = read()
    assert inputs.keys() <= action["inputs"].keys()
    assert action["runs"]["using"] == "composite"
    names = {"github.sha": "0a1b2c3"}
    for key, declared in action["inputs"].items():
        names[f"inputs.{key}"] = inputs.get(key, fill(str(declared.get("default", "")), names))
    result, code, log = "success", None, ""
    executed: list[str] = []
    for number, step in enumerate(action["runs"]["steps"]):
        assert step.keys() <= STEP_KEYS
        assert step["shell"] == "bash"
        if not is_due(step, names, ok=result == "success", cancelled=result == "cancelled"):
            continue
        executed.append(step["name"])
        script, outputs = folder.parent / f"step-{number}.sh", folder.parent / f"outputs-{number}"
        script.write_text(step["run"])
        outputs.touch()
        process = subprocess.Popen(
            [*SHELL, str(script)],
            cwd=folder / fill(step.get("working-directory", "."), names),
            env=os.environ
            | {"GITHUB_ACTION_PATH": str(ACTION.parent), "GITHUB_OUTPUT": str(outputs)}
            | environment
            | {key: fill(value, names) for key, value in step.get("env", {}).items()},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        was_cancelled = threading.Event()
        if cancel_when is not None and "id" in step:
            threading.Thread(target=cancel, args=(process, cancel_when, was_cancelled, signals), daemon=True).start()
        said, _ = process.communicate(timeout=60)
        log += said
        for line in outputs.read_text().splitlines():
            key, _, value = line.partition("=")
            names[f"steps.{step.get('id', number)}.outputs.{key}"] = value
        if was_cancelled.is_set():
            result, code = "cancelled", process.returncode
        elif process.returncode != 0 and result != "cancelled":
            result, code = "failure", process.returncode
        elif result == "success":
            code = 0
    answers = {key: fill(declared["value"], names) for key, declared in action["outputs"].items()}
    return Done(result, code, answers, log, executed)


def cancel(process: Any, when: Callable[[], bool], done: threading.Event, signals: bool) -> None:
    """SIGINT to the step's first process alone, SIGTERM 7.5 s later, SIGKILL 2.5 s after that."""
    while not when():
        if process.poll() is not None:
            return
        time.sleep(0.05)
    done.set()
    for number, patience_s in ((signal.SIGINT, 7.5), (signal.SIGTERM, 2.5)) if signals else ():
        process.send_signal(number)
        try:
            process.wait(patience_s)
        except subprocess.TimeoutExpired:
            continue
        return
    process.kill()
