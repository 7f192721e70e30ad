"""Runs workflows as GitHub's runner does, as far as this project's need: jobs with `needs` and a matrix, `run` steps,
composite actions, the files and lines by which steps answer, masks, and cancellation.

The rules follow the source of the runner (src/Runner.Worker). What it does not do: containers, services, reusable
workflows, timeouts, permissions, fail-fast; jobs run one after the other. An action that is neither given a folder nor
named as a stub is an error, and so is a key that it does not know.
"""

import itertools
import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from github_expressions import as_text, condition, fill
from ruamel.yaml import YAML

SHELLS = {
    None: ["bash", "-e"],
    "bash": ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail"],
    "sh": ["sh", "-e"],
}
STEP = {"name", "id", "if", "shell", "working-directory", "env", "run", "uses", "with", "continue-on-error"}
JOB = {"name", "runs-on", "timeout-minutes", "permissions", "strategy", "needs", "if", "env", "steps", "environment"}
JOB |= {"outputs"}
SUMMARY_LIMIT = 1024 * 1024
SHOWN = 10  # annotations of a level that a step may have
LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+\Z")  # no other character ends one
COMMAND = re.compile(r"^\s*::(?P<name>[a-z-]+)(?: (?P<properties>[^:]*))?::(?P<value>.*)$")
OLD_COMMAND = re.compile(r"##\[(?P<name>[a-z-]+)(?P<properties>[^\]]*)\](?P<value>.*)$")
NOT_INHERITED = ("QGJOB_", "GITHUB_", "ACTIONS_", "RUNNER_", "PYTEST_", "PG")


class Annotation(NamedTuple):
    level: str
    message: str
    file: str | None = None
    line: str | None = None
    title: str | None = None


class Step:
    """What a step came to. `log` is what people see: masked, without the commands that were obeyed."""

    def __init__(self, name: str, id_: str | None) -> None:
        self.name, self.id = name, id_
        self.outcome = self.conclusion = "skipped"
        self.exit: int | None = None
        self.signals: list[str] = []
        self.outputs: dict[str, str] = {}
        self.log = ""
        self.summary = ""
        self.annotations: list[Annotation] = []
        self.groups: list[str] = []
        self.inner: list[Step] = []


class Job:
    def __init__(self, id_: str, matrix: Mapping[str, Any]) -> None:
        self.id, self.matrix = id_, matrix
        self.result = "success"
        self.steps: list[Step] = []

    def __getitem__(self, name: str) -> Step:
        return next(step for step in self.steps if name in (step.id, step.name))

    @property
    def all_steps(self) -> list[Step]:
        return [each for step in self.steps for each in (step, *step.inner)]

    @property
    def log(self) -> str:
        return "".join(step.log for step in self.all_steps)

    @property
    def annotations(self) -> list[Annotation]:
        return [each for step in self.all_steps for each in step.annotations]

    @property
    def summary(self) -> str:
        return "".join(step.summary for step in self.all_steps)


def read(file: Path) -> Any:
    return YAML(typ="safe", pure=True).load(file)


class Runner:
    """One machine. `actions`: folders that stand for `uses:` before the `@`; `stubs`: those that do nothing here.
    `scripts`: what is run instead of the script of a step with this name."""

    def __init__(
        self,
        workspace: Path,
        *,
        actions: Mapping[str, Path],
        stubs: tuple[str, ...] = ("actions/checkout", "actions/setup-python", "actions/setup-node"),
        scripts: Mapping[str, str] | None = None,
        github: Mapping[str, Any] | None = None,
        variables: Mapping[str, str] | None = None,
        secrets: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.workspace = workspace
        self.temp = workspace.parent / "temp"
        self._files = workspace.parent / "files"
        for folder in (workspace, self.temp, self._files):
            folder.mkdir(parents=True, exist_ok=True)
        self._actions, self._stubs, self._scripts = actions, stubs, dict(scripts or {})
        self.github: dict[str, Any] = {
            "repository": "acme/app", "repository_id": "42", "repository_owner": "acme", "run_id": "7001",
            "run_attempt": "1", "sha": "0a1b2c3", "ref": "refs/heads/main", "ref_name": "main", "head_ref": "",
            "event_name": "push", "workflow": "Mobile tests", "actor": "ann", "token": "ghs_0123456789", "event": {},
            **(github or {}),
        }  # fmt: skip
        self._vars, self._secrets = dict(variables or {}), dict(secrets or {})
        self._environment = dict(environment or {})
        self._masks: list[str] = []
        self._count = itertools.count()
        self._cancel_when: Callable[[], bool] | None = None
        self._signals = True
        self.cancelled = False
        self.process: subprocess.Popen[str] | None = None

    def run(
        self, workflow: Path | Mapping[str, Any], *, cancel_when: Callable[[], bool] | None = None, signals: bool = True
    ) -> list[Job]:
        """Every job, in the order of `needs`; cancelled as soon as `cancel_when` says so while a step with an id runs.
        Without `signals`, as older runners do it, a step that is cancelled is killed at once."""
        document = read(workflow) if isinstance(workflow, Path) else workflow
        self._cancel_when, self._signals, self.cancelled = cancel_when, signals, False
        done: list[Job] = []
        waiting = dict(document["jobs"])
        while waiting:
            name = next(name for name, job in waiting.items() if not {*listed(job.get("needs"))} & waiting.keys())
            job = waiting.pop(name)
            assert job.keys() <= JOB, job.keys() - JOB
            needs = {
                need: {"result": worst([one for one in done if one.id == need])} for need in listed(job.get("needs"))
            }
            for index, matrix in enumerate(legs(job.get("strategy", {}).get("matrix", {}))):
                done.append(self._job(name, job, matrix, index, needs, document.get("env", {})))
        return done

    def _job(
        self, name: str, job: Any, matrix: Mapping[str, Any], index: int, needs: Mapping[str, Any], env: Any
    ) -> Job:
        done = Job(name, matrix)
        self._masks = [value for value in [*self._secrets.values(), self.github["token"]] if value]
        self.github["job"] = name
        contexts: dict[str, Any] = {
            "github": self.github, "vars": self._vars, "secrets": self._secrets, "matrix": matrix, "needs": needs,
            "strategy": {"job-index": index}, "runner": {"os": "Linux", "temp": str(self.temp)}, "steps": {},
            "job": {"status": "success"}, "env": {},
        }  # fmt: skip
        results = {need["result"] for need in needs.values()}
        contexts["status"] = "cancelled" if self.cancelled else "success" if results <= {"success"} else "failure"
        if not condition(job.get("if"), contexts):
            done.result = "skipped"
            return done
        contexts["status"] = "success"
        for given in (env, job.get("env", {})):
            contexts["env"] |= {key: as_text(fill(value, contexts)) for key, value in given.items()}
        for step in job["steps"]:
            self._step(step, contexts, done.steps)
        done.result = contexts["status"]
        return done

    def _step(self, step: Any, contexts: dict[str, Any], into: list[Step]) -> None:
        """One step of a job or of an action. `contexts["status"]` is the job's, and what conditions ask for."""
        assert step.keys() <= STEP, step.keys() - STEP
        title = step.get("name") or step.get("uses") or step["run"].splitlines()[0]
        done = Step(as_text(fill(title, contexts)), step.get("id"))
        into.append(done)
        self.github["action"] = (
            contexts.get("action_name") or step.get("id") or f"__{title.split('@')[0].split('/')[-1]}"
        )
        if condition(step.get("if"), contexts):
            own = {**contexts, "env": dict(contexts["env"])}
            own["env"] |= {key: as_text(fill(value, own)) for key, value in step.get("env", {}).items()}
            if "uses" in step:
                self._use(step, own, done)
            else:
                self._run(step, own, done)
            contexts["env"] |= own.get("exported", {})
            done.conclusion = done.outcome
            if done.outcome == "failure" and fill(step.get("continue-on-error"), contexts) in (True, "true"):
                done.conclusion = "success"
            if done.conclusion != "success" and contexts["status"] != "cancelled":
                contexts["status"] = done.conclusion
        if done.id:
            contexts["steps"] = {
                **contexts["steps"],
                done.id: {"outputs": done.outputs, "outcome": done.outcome, "conclusion": done.conclusion},
            }

    def _use(self, step: Any, contexts: dict[str, Any], done: Step) -> None:
        name = step["uses"].split("@")[0]
        if name in self._stubs:
            done.outcome = "success"
            return
        folder = self._actions[name]
        action = read(folder / "action.yml")
        assert action["runs"]["using"] == "composite"
        given = {key: as_text(fill(value, contexts)) for key, value in step.get("with", {}).items()}
        for unknown in given.keys() - action["inputs"].keys():
            done.annotations.append(Annotation("warning", f"Unexpected input(s) '{unknown}'"))
        # Defaults are those of the step that uses the action, and a missing input that is required is nobody's error.
        inputs = {
            key: given.get(key, as_text(fill(declared.get("default", ""), contexts)))
            for key, declared in action["inputs"].items()
        }
        inside = {**contexts, "inputs": inputs, "steps": {}, "action_path": folder, "status": "success"}
        del inside["secrets"]
        for inner in action["runs"]["steps"]:
            assert "shell" in inner or "uses" in inner, "a composite's run step needs a shell"
            self._step(inner, inside, done.inner)
        done.outcome = worst_step(done.inner)
        contexts["exported"] = {key: value for key, value in inside["env"].items() if contexts["env"].get(key) != value}
        done.outputs = {key: as_text(fill(out["value"], inside)) for key, out in action.get("outputs", {}).items()}

    def _run(self, step: Any, contexts: dict[str, Any], done: Step) -> None:
        number = next(self._count)
        files = {name: self._files / f"{number}-{name}" for name in ("OUTPUT", "ENV", "PATH", "STEP_SUMMARY")}
        for file in files.values():
            file.touch()
        script = self._files / f"{number}.sh"
        script.write_text(self._scripts.get(done.name, as_text(fill(step["run"], contexts))))
        event = self._files / "event.json"
        event.write_text(json.dumps(self.github["event"]))
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(NOT_INHERITED)}
        told = ("repository", "repository_id", "run_id", "run_attempt", "sha", "ref", "ref_name", "event_name", "job",
                "action", "workflow", "actor", "head_ref")  # fmt: skip
        environment = {
            **inherited,
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            **{f"GITHUB_{name.upper()}": as_text(self.github.get(name)) for name in told},
            "GITHUB_WORKSPACE": str(self.workspace),
            "GITHUB_EVENT_PATH": str(event),
            "GITHUB_ACTION_PATH": str(contexts.get("action_path", "")),
            "RUNNER_TEMP": str(self.temp),
            "RUNNER_OS": "Linux",
            **{f"GITHUB_{name}": str(file) for name, file in files.items()},
            **self._environment,
            **contexts["env"],
        }
        if path := contexts.get("path"):
            environment["PATH"] = f"{path}:{environment['PATH']}"
        self.process = process = subprocess.Popen(
            [*SHELLS[step.get("shell")], str(script)],
            cwd=self.workspace / as_text(fill(step.get("working-directory", "."), contexts)),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        cancelled = threading.Event()
        if self._cancel_when is not None and done.id and not self.cancelled:
            threading.Thread(target=self._cancel, args=(process, done, cancelled), daemon=True).start()
        said, _ = process.communicate(timeout=60)
        done.exit = process.returncode
        self._read_log(said, done)
        done.outputs = parsed(files["OUTPUT"].read_text())
        contexts["exported"] = parsed(files["ENV"].read_text())
        summary = files["STEP_SUMMARY"].read_text(errors="replace")
        if len(summary.encode()) > SUMMARY_LIMIT:  # not cut: dropped
            done.annotations.append(
                Annotation("error", "$GITHUB_STEP_SUMMARY upload aborted, supports content up to 1024k")
            )
        else:
            done.summary = self._masked(summary)
        done.outcome = "success" if process.returncode == 0 else "failure"
        if cancelled.is_set():
            done.outcome, contexts["status"] = "cancelled", "cancelled"
        if process.returncode != 0:
            done.annotations.append(Annotation("error", f"Process completed with exit code {process.returncode}."))

    def _cancel(self, process: subprocess.Popen[str], done: Step, happened: threading.Event) -> None:
        """SIGINT to the step's first process alone, SIGTERM 7.5 s later, and after 2.5 s the end of the whole tree."""
        assert self._cancel_when is not None
        while not self._cancel_when():
            if process.poll() is not None:
                return
            time.sleep(0.05)
        self.cancelled = True
        happened.set()
        for number, patience_s in ((signal.SIGINT, 7.5), (signal.SIGTERM, 2.5)) if self._signals else ():
            done.signals.append(number.name)
            process.send_signal(number)
            try:
                process.wait(patience_s)
            except subprocess.TimeoutExpired:
                continue
            return
        os.killpg(process.pid, signal.SIGKILL)

    def _read_log(self, said: str, done: Step) -> None:
        """Obeys what is to be obeyed, line by line."""
        stopped: str | None = None
        shown: list[str] = []
        for line in (found.rstrip("\r\n") for found in LINE.findall(said)):
            match = COMMAND.match(line) or OLD_COMMAND.search(line)
            if stopped is not None:
                if line.strip() == f"::{stopped}::":
                    stopped = None
                else:
                    shown.append(self._masked(line))
                continue
            if match is None:
                shown.append(self._masked(line))
                continue
            name, value = match["name"], unescaped(match["value"])
            pairs = [part.partition("=") for part in re.split("[,;]", match["properties"] or "") if part]
            properties = {key.strip(): unescaped(text, in_property=True) for key, _, text in pairs}
            if name == "stop-commands":
                stopped = value
            elif name == "add-mask":
                self._masks.append(value)
            elif name == "group":
                done.groups.append(self._masked(value))
            elif name in ("error", "warning", "notice"):
                kept = [each for each in done.annotations if each.level == name]
                if len(kept) < SHOWN:
                    places = (properties.get(key) for key in ("file", "line", "title"))
                    done.annotations.append(Annotation(name, self._masked(value)[:4096], *places))
            elif name not in ("endgroup", "debug"):
                raise AssertionError(f"a step commanded {line!r}")
        done.log = "".join(f"{line}\n" for line in shown)

    def _masked(self, text: str) -> str:
        for secret in self._masks:
            text = text.replace(secret, "***")
        return text


def listed(value: Any) -> list[str]:
    return [] if value is None else [value] if isinstance(value, str) else list(value)


def legs(matrix: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The jobs of a matrix: the product, less what is excluded, with what is included added or put on top."""
    axes = {key: values for key, values in matrix.items() if key not in ("include", "exclude")}
    product = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())] if axes else []
    product = [leg for leg in product if not any(out.items() <= leg.items() for out in matrix.get("exclude", []))]
    original = [dict(leg) for leg in product]
    for extra in matrix.get("include", []):
        fitting = [
            leg
            for leg, was in zip(product, original, strict=False)
            if all(extra.get(key, was[key]) == was[key] for key in was)
        ]
        for leg in fitting:
            leg.update(extra)
        if not fitting or not axes:
            product.append(dict(extra))
    return product or [{}]


def worst(jobs: list[Job]) -> str:
    results = {job.result for job in jobs}
    return next((result for result in ("failure", "cancelled", "skipped") if result in results), "success")


def worst_step(steps: list[Step]) -> str:
    results = {step.conclusion for step in steps}
    return next((result for result in ("cancelled", "failure") if result in results), "success")


def parsed(text: str) -> dict[str, str]:
    """`name=value`, or `name<<END`, lines, END."""
    found: dict[str, str] = {}
    lines = iter(text.splitlines())
    for line in lines:
        if match := re.match(r"([^=<]+)<<(.+)$", line):
            body = list(itertools.takewhile(lambda other, end=match[2]: other != end, lines))
            found[match[1]] = "\n".join(body)
        elif line:
            name, equals, value = line.partition("=")
            assert equals, f"Unable to process file command: {line!r}"
            found[name] = value
    return found


def unescaped(text: str, *, in_property: bool = False) -> str:
    for code, character in (("%3A", ":"), ("%2C", ",")) if in_property else ():
        text = text.replace(code, character)
    return text.replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%")
