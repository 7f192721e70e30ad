"""A checkout on a runner that has the client already, and workflows of one step that use the action."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from github_runner import Job, Runner, Step

CHECKOUT = Path(__file__).resolve().parents[1]
ACTION = CHECKOUT / ".github" / "actions" / "run-tests"
NAMES = ("OWNER/qgjob/.github/actions/run-tests", "$/.github/actions/run-tests")
SPECS = ("login", "checkout", "onboarding", "coupon-fail", "video-hang", "search-flaky", "native-crash")


class Workspace:
    def __init__(self, folder: Path, url: str, *, github: Mapping[str, Any] | None = None, **options: Any) -> None:
        self.folder = folder / "workspace"
        self.url = url
        (self.folder / "tests").mkdir(parents=True, exist_ok=True)
        for name in SPECS:
            (self.folder / "tests" / f"{name}.spec.js").touch()
        self.runner = Runner(
            self.folder,
            actions=dict.fromkeys(NAMES, ACTION),
            github=github,
            variables={"QGJOB_SERVER_URL": url},
            environment={"QGJOB_RETRY_FOR": "0"},
            **options,
        )
        client = self.runner.temp / "qgjob" / "bin" / "qgjob"
        client.parent.mkdir(parents=True, exist_ok=True)
        client.write_text(f'#!/bin/sh\nexec {sys.executable} -m qgjob "$@"\n')
        client.chmod(0o755)

    def job(
        self,
        tests: str,
        cancel_when: Callable[[], bool] | None = None,
        *,
        signals: bool = True,
        id: str = "tests",  # noqa: A002
        **inputs: str,
    ) -> Job:
        """A job of one step, with these inputs."""
        given = {"server-url": self.url, "org-id": "qualgent", "tests": tests}
        given |= {name.replace("_", "-"): value for name, value in inputs.items()}
        steps = [{"id": id, "uses": f"{NAMES[0]}@v1", "with": given}]
        workflow = {"jobs": {"test": {"steps": steps}}}
        (job,) = self.runner.run(workflow, cancel_when=cancel_when, signals=signals)
        return job

    def step(self, tests: str, cancel_when: Callable[[], bool] | None = None, **options: Any) -> Step:
        return self.job(tests, cancel_when, **options).steps[0]

    def again(self) -> None:
        """Somebody has the job run again."""
        self.runner.github["run_attempt"] = str(int(self.runner.github["run_attempt"]) + 1)

    def has_run(self) -> bool:
        return any("run-id=" in file.read_text() for file in self.folder.parent.glob("files/*-OUTPUT"))


def client_exit(step: Step) -> int | None:
    """How the client itself ended."""
    return next((inner.exit for inner in step.inner if inner.id == "run"), None)


def said(step: Step) -> str:
    return "".join(inner.log for inner in step.inner)
