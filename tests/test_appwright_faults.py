"""Whatever goes wrong around AppWright specs, each has the verdict it deserves, and nothing is left behind."""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from batches import batch, gone, pids
from phones import PROJECT, Home, Phones, installed

from worker import webdriver
from worker.batch import Batch, PrepareError
from worker.devices import Options as BackendOptions
from worker.executors import Event, Executor, Finished, Options, Prepared, Started, load

pytestmark = pytest.mark.appwright

SIGN_IN = """
  await device.getById("user_name", { exact: true }).fill("ada");
  await device.getByText("Sign in", { exact: true }).tap();
  await expect(device.getByText("Products", { exact: true })).toBeVisible();
"""
HANG = """
  const fs = require("node:fs");
  for (const pid of [process.pid, process.ppid]) fs.writeFileSync(`${process.cwd()}/pids/${pid}`, "");
  await new Promise(() => {});
"""


class Lab:
    """One phone and a project of specs; batches on it as the worker runs them."""

    def __init__(self, folder: Path, home: Home) -> None:
        self.home = home
        self.project = folder / "project"
        (self.project / "tests").mkdir(parents=True)
        (self.project / "pids").mkdir()
        (self.project / "node_modules").symlink_to(installed())
        (self.project / "appwright.config.ts").write_text((PROJECT / "appwright.config.ts").read_text())
        self.phones: Phones
        self.executor: Executor

    def spec(self, name: str, body: str) -> str:
        """A spec with one test; the path for its job."""
        return self.file(name, f'test("{name}", async ({{ device }}) => {{{body}}});')

    def file(self, name: str, content: str) -> str:
        path = self.project / "tests" / f"{name}.spec.ts"
        path.write_text(f'import {{ expect, test }} from "appwright";\n{content}\n')
        return path.relative_to(self.project).as_posix()

    def pids(self) -> list[int]:
        return pids(self.project / "pids")

    @contextlib.asynccontextmanager
    async def prepared(self, of: Batch) -> "contextlib.AsyncGenerator[Prepared]":
        self.phones = Phones(BackendOptions("emu", "emulator"))
        try:
            self.executor = load("appwright", Options(self.project, self.phones, {"grace_s": 3}))
            await self.phones.install(of)
            prepared = await self.executor.prepare(of)
            try:
                async with asyncio.timeout(100):
                    yield prepared
            finally:
                await self.executor.cleanup(prepared, failed=False)
        finally:
            await self.phones.close()

    async def call(
        self,
        prepared: Prepared,
        verdicts: dict[int, Finished],
        *,
        stop_when: Callable[[list[Event]], bool] | None = None,
    ) -> list[Event]:
        """One call of run, with what has no verdict yet."""
        stop = asyncio.Event()
        seen: list[Event] = []

        async def watch(ready: Callable[[list[Event]], bool]) -> None:
            while not ready(seen):  # noqa: ASYNC110  what it waits for may be on disk
                await asyncio.sleep(0.01)
            stop.set()

        watching = asyncio.create_task(watch(stop_when)) if stop_when else None
        left = [job for job in prepared.batch.jobs if job.job_id not in verdicts]
        try:
            async for event in self.executor.run(prepared, left, stop):
                seen.append(event)
                if isinstance(event, Finished):
                    assert event.job_id not in verdicts, "two verdicts for one job"
                    verdicts[event.job_id] = event
        finally:
            if watching:
                watching.cancel()
        return seen


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    home = Home(tmp_path / "home")
    monkeypatch.setenv("APPIUM_HOME", str(home.path))
    yield Lab(tmp_path, home)
    assert all(gone(server) for server in {event["server"] for event in home.events()}), "an Appium server is left"


def specs(*paths: str) -> Batch:
    return msgspec.structs.replace(batch(*paths), install=True, reset="clear")


def kinds(verdicts: dict[int, Finished]) -> dict[int, str]:
    return {job: verdict.failure_kind or verdict.status for job, verdict in sorted(verdicts.items())}


def test_a_spec_that_does_not_load_or_is_not_there_fails_and_the_others_run(lab: Lab) -> None:
    of = specs(
        lab.spec("a", SIGN_IN),
        lab.file("b", "let x = ;"),
        "tests/nope.spec.ts",
        lab.file("c", 'import "./missing"; test("c", () => {});'),
        lab.spec("d", SIGN_IN),
    )

    async def run() -> dict[int, Finished]:
        verdicts: dict[int, Finished] = {}
        async with lab.prepared(of) as prepared:
            while len(verdicts) < 5:
                await lab.call(prepared, verdicts)
        return verdicts

    verdicts = asyncio.run(run())
    assert kinds(verdicts) == {1: "completed", 2: "test", 3: "test", 4: "test", 5: "completed"}
    assert verdicts[3].message == "no such spec file: tests/nope.spec.ts"
    assert "Cannot find module './missing'" in (verdicts[4].message or "")
    assert (lab.home.counts()["session"], lab.home.counts()["install"]) == (1, 1)


def test_a_spec_that_kills_its_process_fails_and_the_next_has_the_same_session(lab: Lab) -> None:
    of = specs(lab.spec("a", 'process.kill(process.pid, "SIGKILL");'), lab.spec("b", SIGN_IN))

    async def run() -> dict[int, Finished]:
        verdicts: dict[int, Finished] = {}
        async with lab.prepared(of) as prepared:
            await lab.call(prepared, verdicts)
        return verdicts

    verdicts = asyncio.run(run())
    assert kinds(verdicts) == {1: "test", 2: "completed"}
    assert "worker process exited unexpectedly" in (verdicts[1].message or "")
    assert lab.home.counts()["session"] == 1


def test_a_runner_that_is_killed_loses_one_spec_and_the_session_lives_on(lab: Lab) -> None:
    of = specs(lab.spec("a", SIGN_IN), lab.spec("b", HANG), lab.spec("c", SIGN_IN))

    async def run() -> dict[int, Finished]:
        verdicts: dict[int, Finished] = {}
        async with lab.prepared(of) as prepared:
            calling = asyncio.create_task(lab.call(prepared, verdicts))
            while len(lab.pids()) < 2:  # noqa: ASYNC110  it waits for files
                await asyncio.sleep(0.01)
            os.kill(min(os.getpgid(pid) for pid in lab.pids()), signal.SIGKILL)
            await calling
            await lab.call(prepared, verdicts)
        return verdicts

    verdicts = asyncio.run(run())
    assert kinds(verdicts) == {1: "completed", 2: "infrastructure", 3: "completed"}
    assert verdicts[2].message == "the test runner ended (SIGKILL) while this spec was running"
    assert all(gone(pid) for pid in lab.pids())
    assert lab.home.counts()["session"] == 1


def test_a_spec_that_is_stopped_has_no_verdict_and_the_next_has_the_same_session(lab: Lab) -> None:
    of = specs(lab.spec("a", HANG), lab.spec("b", SIGN_IN))

    async def run() -> dict[int, Finished]:
        verdicts: dict[int, Finished] = {}
        async with lab.prepared(of) as prepared:
            stopped = await lab.call(prepared, verdicts, stop_when=lambda _: len(lab.pids()) == 2)
            assert [event for event in stopped if not isinstance(event, Started)] == []
            assert all(gone(pid) for pid in lab.pids())
            second = Prepared(msgspec.structs.replace(of, jobs=of.jobs[1:]), prepared.handle)
            await lab.call(second, verdicts)
        return verdicts

    assert kinds(asyncio.run(run())) == {2: "completed"}
    assert (lab.home.counts()["session"], lab.home.counts()["quit"]) == (1, 1)


def test_after_a_stop_a_session_that_hangs_is_lost_before_the_next_spec_starts(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webdriver, "ASK_S", 0.5)
    monkeypatch.setattr(webdriver, "CALL_S", 0.5)
    of = specs(lab.spec("a", SIGN_IN), lab.spec("b", SIGN_IN))

    async def run() -> list[Event]:
        verdicts: dict[int, Finished] = {}
        async with lab.prepared(of) as prepared:
            lab.home.fail({"when": "click", "do": "hang"})
            await lab.call(prepared, verdicts, stop_when=lambda _: lab.home.counts()["fault"] == 1)
            assert verdicts == {}
            with pytest.raises(PrepareError, match="The session was lost: the server of the session does not answer"):
                await lab.call(prepared, verdicts)
        return list(verdicts.values())

    assert asyncio.run(run()) == []


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("die", "the session no longer exists"),
        ("gone", "the driver on the device has ended"),
        ("exit", "the server of the session does not answer"),
    ],
)
def test_a_session_that_is_lost_fails_the_spec_as_infrastructure_and_ends_the_batch(
    lab: Lab, fault: str, words: str
) -> None:
    of = specs(lab.spec("a", SIGN_IN), lab.spec("b", SIGN_IN), lab.spec("c", SIGN_IN))

    async def run() -> dict[int, Finished]:
        verdicts: dict[int, Finished] = {}
        async with lab.prepared(of) as prepared:

            def meanwhile(seen: list[Event]) -> bool:
                if any(isinstance(event, Finished) for event in seen):
                    lab.home.fail({"when": "click", "do": fault}, {"when": "getWindowRect", "do": fault})
                return False

            lab.home.fail({"when": "click", "do": "slow"})
            with pytest.raises(PrepareError, match=f"The session was lost: {words}"):
                await lab.call(prepared, verdicts, stop_when=meanwhile)
        return verdicts

    verdicts = asyncio.run(run())
    assert kinds(verdicts) == {1: "completed", 2: "infrastructure"}
    assert words in (verdicts[2].message or "")


def test_a_test_that_cannot_reach_its_own_server_is_a_failed_test(lab: Lab) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    of = specs(lab.spec("a", f'throw new Error("connect ECONNREFUSED 127.0.0.1:{port}");'), lab.spec("b", SIGN_IN))

    async def run() -> dict[int, Finished]:
        verdicts: dict[int, Finished] = {}
        async with lab.prepared(of) as prepared:
            await lab.call(prepared, verdicts)
        return verdicts

    assert kinds(asyncio.run(run())) == {1: "test", 2: "completed"}


def test_a_test_that_fails_on_a_phone_that_is_gone_is_not_blamed(lab: Lab) -> None:
    of = specs(lab.spec("a", 'throw new Error("x");'), lab.spec("b", SIGN_IN))

    async def run() -> dict[int, Finished]:
        verdicts: dict[int, Finished] = {}
        async with lab.prepared(of) as prepared:

            def unplug(seen: list[Event]) -> bool:
                if Started(1) in seen:
                    lab.phones.sick = "emu-1 is not connected"
                return False

            with pytest.raises(PrepareError, match="emu-1 is not connected"):
                await lab.call(prepared, verdicts, stop_when=unplug)
        return verdicts

    verdicts = asyncio.run(run())
    assert kinds(verdicts) == {1: "infrastructure"}


def test_an_app_that_cannot_be_reset_fails_no_test(lab: Lab) -> None:
    of = specs(lab.spec("a", SIGN_IN), lab.spec("b", SIGN_IN))

    async def run() -> dict[int, Finished]:
        verdicts: dict[int, Finished] = {}
        async with lab.prepared(of) as prepared:
            lab.home.fail({"when": "execute", "do": "refuse", "text": "clearApp"})
            with pytest.raises(PrepareError, match="the app could not be reset: mobile: clearApp"):
                await lab.call(prepared, verdicts)
        return verdicts

    assert kinds(asyncio.run(run())) == {1: "infrastructure"}


def test_a_provider_that_is_busy_refuses_the_batch_and_the_next_one_has_the_same_server(lab: Lab) -> None:
    of = specs(lab.spec("a", SIGN_IN))

    async def run() -> None:
        phones = Phones(BackendOptions("emu", "emulator"))
        try:
            executor = load("appwright", Options(lab.project, phones))
            lab.home.fail({"when": "createSession", "do": "refuse"})
            with pytest.raises(PrepareError, match="All parallel tests are currently in use") as refused:
                await executor.prepare(of)
            assert refused.value.blame == "device"
            lab.home.fail()
            await phones.install(of)
            prepared = await executor.prepare(of)
            await executor.cleanup(prepared, failed=False)
        finally:
            await phones.close()

    asyncio.run(run())
    assert len({event["server"] for event in lab.home.events()}) == 1
    assert lab.home.counts()["quit"] == 1


def test_a_screenshot_that_cannot_be_taken_does_not_hide_why_the_test_failed(lab: Lab) -> None:
    of = specs(lab.spec("a", 'throw new Error("the reason");'))

    async def run() -> dict[int, Finished]:
        verdicts: dict[int, Finished] = {}
        async with lab.prepared(of) as prepared:
            lab.home.fail({"when": "getScreenshot", "do": "refuse"})
            await lab.call(prepared, verdicts)
        return verdicts

    verdicts = asyncio.run(run())
    assert verdicts[1].message == "Error: the reason"
    assert [file.name for file in verdicts[1].files] == ["error-context.md"]
