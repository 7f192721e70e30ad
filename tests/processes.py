"""API and worker processes for a test, and the CLI as a process."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import pytest

from qgjob.children import Child, free_port, wait_until

CHECKOUT = Path(__file__).resolve().parents[1]
SAMPLES = CHECKOUT / "tests" / "samples"
READY_S = 60
both_transports = pytest.mark.parametrize("transport", ["sql", "http"], indirect=True)


class Services:
    def __init__(self, database_url: str, folder: Path, *, by_api: bool = False) -> None:
        """`by_api`: workers are told of the API and of nothing else."""
        self._by_api = by_api
        self.database_url = database_url
        self.project = SAMPLES
        self._folder = folder
        self._stack = ExitStack()
        self._children: dict[str, Child] = {}
        self.url = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start(self, name: str, *argv: str, without: Sequence[str] = (), **environment: str) -> Child:
        """A Python module of the checkout as a process."""
        known = {
            "QGJOB_DATABASE_URL": self.database_url,
            "QGJOB_STORE_URL": (self._folder / "store").as_uri(),
            "QGJOB_CACHE_DIR": str(self._folder / "cache"),
        }
        child = Child(
            name,
            [sys.executable, "-m", *argv],
            log=self._folder / f"{name}.log",
            env=os.environ | {key: known[key] for key in known if key not in without} | environment,
            cwd=CHECKOUT,
        )
        self._children[name] = child
        self._stack.callback(child.stop, (signal.SIGTERM, 10))
        return child

    def api(self, name: str = "api", **environment: str) -> str:
        """The URL of a new API process that is ready; the CLI uses the first."""
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        child = self.start(name, "api", "--port", str(port), **environment)
        assert wait_until(lambda: not child.running or answers(f"{url}/health"), READY_S), child.last_lines()
        assert child.running, child.last_lines()
        self.url = self.url or url
        return url

    def worker(self, name: str = "worker", *options: str, **environment: str) -> Child:
        """A worker with simulated devices that has registered."""
        if "--executor" not in options:
            options = ("--executor", "simulated", *options)
        without: tuple[str, ...] = ()
        if self._by_api:
            if not self.url:
                self.api()
            options, without = (*options, "--server", self.url), ("QGJOB_DATABASE_URL", "QGJOB_STORE_URL")
        child = self.start(name, "worker", "--name", name, *options, without=without, **environment)
        assert wait_until(lambda: " and drives " in child.last_lines(100) or not child.running, READY_S), (
            child.last_lines()
        )
        assert " and drives " in child.last_lines(100), child.last_lines()
        return child

    def stop(self, name: str, signals: int = 1) -> None:
        """Tell one of them to end, so many times, and wait until it has."""
        child = self._children[name]
        for _ in range(signals):
            child.process.send_signal(signal.SIGTERM)
            wait_until(lambda: "draining" in child.last_lines(1000) or not child.running, READY_S)
        assert wait_until(lambda: not child.running, READY_S), child.last_lines()

    def pid(self, name: str) -> int:
        return self._children[name].process.pid

    def qgjob(self, *argv: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the CLI against the API."""
        settings = {"QGJOB_SERVER_URL": self.url, "COLUMNS": "200"} | environment
        return subprocess.run(
            [sys.executable, "-m", "qgjob", *argv],
            env=os.environ | settings,
            cwd=self.project,
            capture_output=True,
            text=True,
            timeout=310,
            check=False,
        )

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self.url}{path}", timeout=60) as answer:
            return json.load(answer)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except OSError:
        return False
