"""Unmodified AppWright specs share one session and one installation; without attaching, each test has its own."""

import asyncio
import os
from pathlib import Path

import msgspec
import pytest
from batches import batch, finished, printed
from phones import APP_ID, PROJECT, Home, Phones, installed

from qgjob.models import Reset
from worker.batch import Batch
from worker.devices import Options as BackendOptions
from worker.executors import Event, Finished, Options, Prepared, load

pytestmark = pytest.mark.appwright

SPECS = sorted(path.relative_to(PROJECT).as_posix() for path in PROJECT.glob("tests/*.spec.ts"))
FAILING = ["tests/checkout.spec.ts", "tests/profile.spec.ts"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    home = Home(tmp_path / "home")
    monkeypatch.setenv("APPIUM_HOME", str(home.path))
    return home


def specs(*names: str, reset: Reset = "clear") -> Batch:
    return msgspec.structs.replace(batch(*names), install=True, reset=reset)


class Ran(msgspec.Struct):
    events: list[Event]
    verdicts: dict[int, Finished]
    prepared: Prepared
    files: dict[str, bytes]  # of the failures, as they were when the job had finished


def run(of: Batch, *, settings: dict[str, object] | None = None, install: bool = True) -> Ran:
    """Install, prepare, run, clean up: as the worker does."""

    async def whole_batch() -> Ran:
        phones = Phones(BackendOptions("emu", "emulator"))
        executor = load("appwright", Options(PROJECT, phones, settings or {}))
        events: list[Event] = []
        files: dict[str, bytes] = {}
        try:
            if install:
                await phones.install(of)
            prepared = await executor.prepare(of)
            async with asyncio.timeout(240):
                async for event in executor.run(prepared, of.jobs, asyncio.Event()):
                    events.append(event)
                    if isinstance(event, Finished):
                        files |= {f"{event.job_id}/{file.name}": file.path.read_bytes() for file in event.files}
            await executor.cleanup(prepared, failed=False)
        finally:
            await phones.close()
        return Ran(events, finished(events), prepared, files)

    return asyncio.run(whole_batch())


def failures(ran: Ran, of: Batch) -> list[str]:
    paths = {job.job_id: job.test_path for job in of.jobs}
    assert sorted(ran.verdicts) == sorted(paths), "not one verdict for each"
    assert {verdict.failure_kind for verdict in ran.verdicts.values()} <= {None, "test"}
    return sorted(paths[job] for job, verdict in ran.verdicts.items() if verdict.status == "failed")


def test_eight_specs_of_which_two_fail_take_one_installation_and_one_session(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    of = specs(*SPECS)
    ran = run(of)
    counts = home.counts()
    with capsys.disabled():
        print(f"\n{len(SPECS)} specs attached: {counts['install']} installation, {counts['session']} session")
    assert len(SPECS) == 8
    assert failures(ran, of) == FAILING
    assert (counts["install"], counts["session"], counts["clear"], counts["quit"]) == (1, 1, 8, 1)
    assert ran.prepared.session_id
    assert ran.prepared.video_url == f"https://videos.invalid/{ran.prepared.session_id}"


@pytest.fixture
def sdk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What AppWright by itself calls: an emulator, and `npx` to install a driver and to start Appium."""
    programs = {
        "sdk/emulator/emulator": "echo stand-in",
        "sdk/build-tools/34.0.0/aapt": f"echo \"package: name='{APP_ID}'\"; echo \"launchable-activity: name='.Main'\"",
        "bin/npx": f'[ "$2" = driver ] || exec node {installed() / "appium" / "index.js"} --address 127.0.0.1',
    }
    for name, line in programs.items():
        program = tmp_path / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(f"#!/bin/sh\n{line}\n")
        program.chmod(0o755)
    monkeypatch.setenv("ANDROID_HOME", str(tmp_path / "sdk"))
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "sdk"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")


@pytest.mark.usefixtures("sdk")
def test_without_attaching_each_test_has_a_session_and_an_installation(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    of = specs(*SPECS)
    ran = run(of, settings={"attach": False, "project": "android"}, install=False)
    counts = home.counts()
    with capsys.disabled():
        print(f"\n{len(SPECS)} specs as is: {counts['install']} installations, {counts['session']} sessions")
    assert failures(ran, of) == FAILING
    assert (counts["install"], counts["session"]) == (8, 8)
    assert "told not to attach, so AppWright opens a session and installs the build for every test" in printed(
        ran.events
    )


@pytest.mark.parametrize(
    ("reset", "told"),
    [("reinstall", "remove"), ("clear", "clear"), ("restart", "terminate"), ("none", None)],
)
def test_each_test_finds_the_app_as_the_batch_asks(home: Home, reset: Reset, told: str | None) -> None:
    of = specs("tests/onboarding.spec.ts", "tests/sign-in.spec.ts", "tests/sign-out.spec.ts", reset=reset)
    ran = run(of)
    counts = home.counts()
    if told:
        assert counts[told] == 3
    else:
        assert not {"remove", "clear", "terminate"} & set(counts)
    assert counts["install"] == (4 if reset == "reinstall" else 1)
    # Who is signed in stays so when the app is only restarted, so the last test finds no field to sign in with.
    kept = reset in ("restart", "none")
    assert failures(ran, of) == (["tests/sign-out.spec.ts"] if kept else [])
    for verdict in ran.verdicts.values():
        assert 0 < verdict.reset_s < verdict.duration_s


def test_a_failure_leaves_a_screenshot_and_a_success_none(home: Home) -> None:
    ran = run(specs("tests/profile.spec.ts", "tests/sign-in.spec.ts"))
    assert ran.verdicts[1].status == "failed"
    assert ran.files["1/screenshot.png"].startswith(b"\x89PNG")
    assert ran.verdicts[2].files == []
    assert home.counts()["screenshot"] == 1


def test_each_job_says_where_it_begins_in_the_session_s_video(home: Home) -> None:
    verdicts = run(specs("tests/onboarding.spec.ts", "tests/sign-in.spec.ts")).verdicts
    first, second = verdicts[1].video_offset_s, verdicts[2].video_offset_s
    assert first is not None
    assert second is not None
    assert 0 < first < second
