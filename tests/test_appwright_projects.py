"""A project that AppWright specs cannot run in is told so when the worker starts, with what to pin; a version that
cannot be attached to runs as it is."""

import json
import shutil
from pathlib import Path

import pytest
from batches import no_devices

from worker.config import ConfigError
from worker.devices import Backend
from worker.executors import Executor, Options, load


class Sessions:
    """A backend, as far as an executor asks it when it starts."""

    def require_sessions(self) -> None:
        pass


@pytest.fixture
def project(tmp_path: Path) -> Path:
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    (tmp_path / "appwright.config.ts").touch()
    package(tmp_path / "node_modules" / "appwright", "0.1.1")
    package(tmp_path / "node_modules" / "@playwright" / "test", "1.59.1")
    (tmp_path / "node_modules" / "@playwright" / "test" / "cli.js").touch()
    return tmp_path


def package(at: Path, version: str, **modules: str) -> None:
    at.mkdir(parents=True, exist_ok=True)
    (at / "package.json").write_text(json.dumps({"name": at.name, "version": version, "main": "dist/index.js"}))
    for name, body in {"index": "", **modules}.items():
        file = at / "dist" / f"{name}.js"
        file.parent.mkdir(exist_ok=True)
        file.write_text(body)


def executor(project: Path, backend: Backend | None = None, **settings: object) -> Executor:
    return load("appwright", Options(project, backend or Sessions(), settings))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "version", "words"),
    [
        ("@playwright/test", "1.60.0", "it works with @playwright/test before 1.60, not with 1.60.0; pin"),
        ("@playwright/test", "2.0.0", "not with 2.0.0; pin"),
        ("appwright", "0.2.0", "version 0.2.0 is not one of 0.1, which this executor knows; pin"),
        ("appwright/node_modules/@playwright/test", "1.65.1", "it has brought a second @playwright/test"),
    ],
)
def test_versions_that_do_not_work_together_are_named(project: Path, name: str, version: str, words: str) -> None:
    package(project / "node_modules" / name, version)
    with pytest.raises(ConfigError) as refused:
        executor(project)
    assert words in str(refused.value)
    assert '"@playwright/test": "1.59.1"' in str(refused.value)


def test_a_project_without_appwright_or_its_configuration_is_told(project: Path) -> None:
    shutil.rmtree(project / "node_modules" / "appwright")
    with pytest.raises(ConfigError, match=r"no appwright in .*; put .* run `npm install`"):
        executor(project)
    (project / "appwright.config.ts").unlink()
    with pytest.raises(ConfigError, match=r"no appwright\.config\.ts in"):
        executor(project)


def test_a_version_that_cannot_be_loaded_is_told(project: Path) -> None:
    package(project / "node_modules" / "appwright", "0.1.9", index="")
    with pytest.raises(ConfigError, match="it cannot be loaded in"):
        executor(project)  # there is no webdriver at all


def test_a_version_that_cannot_be_attached_to_runs_as_it_is(project: Path, caplog: pytest.LogCaptureFixture) -> None:
    modules = project / "node_modules"
    package(modules / "appwright", "0.1.9")
    package(modules / "@playwright" / "test", "1.59.1", index="exports.test = {};")
    package(modules / "webdriver", "9.0.0", index="module.exports = { attachToSession() {} };")
    executor(project, no_devices())  # as it is, it needs none of the worker's sessions
    assert "AppWright 0.1.9 lacks what attaching needs (getDevice of a provider, Device, globalSetup)" in caplog.text
    assert "so AppWright opens a session and installs the build for every test." in caplog.text


def test_a_worker_that_is_to_attach_needs_devices_with_sessions(project: Path) -> None:
    modules = project / "node_modules"
    package(modules / "@playwright" / "test", "1.59.1", index="exports.test = {};")
    package(modules / "webdriver", "8.0.0", index="module.exports = { attachToSession() {} };")
    package(modules / "appwright", "0.1.1")
    dist = modules / "appwright" / "dist"
    for name, body in {
        "device/index.js": "exports.Device = class { close() {} };",
        "global-setup.js": "exports.default = () => {};",
        "providers/emulator/index.js": "exports.Emulator = class { getDevice() {} };",
    }.items():
        (dist / name).parent.mkdir(parents=True, exist_ok=True)
        (dist / name).write_text(body)
    executor(project)
    with pytest.raises(ConfigError, match="backend none has no devices to open a session on; name another"):
        executor(project, no_devices())
    executor(project, no_devices(), attach=False)
