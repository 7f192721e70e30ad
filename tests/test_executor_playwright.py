"""Every way in which a Playwright run can go ends in the right verdict, with the real runner."""

import asyncio
import os
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest
from batches import batch, drive, finished, gone, no_devices, pids, printed, rerun, run
from node import SAMPLES, installed, project

from worker.config import ConfigError
from worker.executors import Event, Executor, Finished, Options, Started, load

HANG = """
const fs = require('node:fs'), path = require('node:path');
const note = (pid) => fs.writeFileSync(path.join(process.cwd(), 'pids', String(pid)), '');
test('hangs', async () => {
  test.setTimeout(0);
  const child = require('node:child_process').spawn('sleep', ['600'], { stdio: 'inherit' });
  child.once('spawn', () => note(child.pid));
  note(process.pid); note(process.ppid);
  await new Promise(() => {});
});
"""


def playwright(at: Path, **settings: object) -> Executor:
    return load("playwright", Options(at, no_devices(), {"grace_s": 3, **settings}))


def kinds(verdicts: dict[int, Finished]) -> dict[int, str]:
    """`completed`, or the failure kind."""
    return {job: verdict.failure_kind or verdict.status for job, verdict in sorted(verdicts.items())}


def test_pass_fail_skip_timeout_and_a_killed_test_process(tmp_path: Path) -> None:
    at = project(
        tmp_path,
        a_pass="test('one', () => {}); test.describe('cart', () => test('two', () => {}));",
        b_fail="test('ok', () => {}); test('total', () => { expect(1, 'cart total').toBe(2); });",
        c_skip="test.skip('later', () => {});",
        d_timeout="test('slow', async () => { test.setTimeout(200); await new Promise(() => {}); });",
        e_kill="test('dies', () => { process.kill(process.pid, 'SIGKILL'); }); test('after', () => {});",
        f_both="test('slow', async () => { test.setTimeout(200); await new Promise(() => {}); });"
        " test('bad', () => { throw new Error('bad'); });",
        g_before="test.beforeAll(() => { throw new Error('set-up'); }); test('x', () => {}); test('y', () => {});",
        h_known="test.fail('known bug', () => { expect(1).toBe(2); });",
        i_fixed="test.fail('fixed bug', () => {});",
        j_retry="test.describe.configure({ mode: 'serial', retries: 1 }); test('a', () => {});"
        " test('b', ({}, info) => { if (!info.retry) throw new Error('x'); }); test('c', () => {});",
        k_last="test('still runs', () => {});",
    )
    of = batch(*(f"tests/{path.name}" for path in sorted((at / "tests").iterdir())))
    verdicts = finished(run(playwright(at), of))
    assert kinds(verdicts) == {
        1: "completed", 2: "test", 3: "completed", 4: "timeout", 5: "test", 6: "test",
        7: "test", 8: "completed", 9: "test", 10: "completed", 11: "completed",
    }  # fmt: skip
    assert [(test["title"], test["status"]) for test in verdicts[1].tests] == [
        ("one", "passed"),
        ("cart › two", "passed"),
    ]
    assert (verdicts[2].message or "").startswith("Error: cart total")
    assert "\x1b" not in (verdicts[2].message or "")
    assert [test["status"] for test in verdicts[2].tests] == ["passed", "failed"]
    assert [test["line"] for test in verdicts[2].tests] == [2, 2]  # the first line of the project's specs is its own
    assert [test["status"] for test in verdicts[3].tests] == ["skipped"]
    assert [test["status"] for test in verdicts[4].tests] == ["timed_out"]
    assert "exited unexpectedly" in (verdicts[5].message or "")
    assert "set-up" in (verdicts[7].message or "")
    assert verdicts[9].message == "expected to fail, but passed"
    assert [test["message"] for test in verdicts[10].tests] == [None, "passed on a retry", None]


def test_the_samples_do_what_their_names_say() -> None:
    installed()
    paths = sorted(f"tests/{path.name}" for path in (SAMPLES / "tests").glob("*.spec.js"))
    failing = [number for number, path in enumerate(paths, 1) if "fail" in path]
    flaky = [number for number, path in enumerate(paths, 1) if "flaky" in path]
    assert len(paths) == 8
    assert len(failing) == len(flaky) == 1
    first, second = (finished(run(playwright(SAMPLES), batch(*paths, attempt=attempt))) for attempt in (1, 2))
    assert [job for job, verdict in sorted(first.items()) if verdict.status == "failed"] == sorted(failing + flaky)
    assert [job for job, verdict in sorted(second.items()) if verdict.status == "failed"] == failing
    assert not (SAMPLES / "test-results").exists()


def test_a_spec_that_does_not_load_fails_and_the_others_run(tmp_path: Path) -> None:
    at = project(
        tmp_path,
        bad_import="require('./helper');",
        dup="test('same', () => {}); test('same', () => {});",
        empty="",
        good="test('ok', () => {});",
        only="test.only('ok', () => {});",
        syntax="let x = ;",
    )
    (at / "tests" / "helper.js").write_text("throw new Error('helper is broken');\n")
    names = ["bad-import", "dup", "empty", "good", "only", "syntax", "nope"]
    verdicts = rerun(playwright(at), batch(*(f"tests/{name}.spec.js" for name in names)))
    assert kinds(verdicts) == {1: "test", 2: "test", 3: "test", 4: "completed", 5: "test", 6: "test", 7: "test"}
    assert {job for job, verdict in verdicts.items() if verdict.permanent} == {1, 2, 3, 5, 6, 7}
    messages = [verdicts[job].message or "" for job in sorted(verdicts)]
    assert "helper is broken" in messages[0]
    assert "duplicate test title" in messages[1]
    assert messages[2] == "no tests in this spec"
    assert ".only" in messages[4]
    assert "Unexpected token" in messages[5]
    assert messages[6] == "no such spec file: tests/nope.spec.js"


def test_specs_without_a_matching_test_fail_and_say_so(tmp_path: Path) -> None:
    at = project(tmp_path, a="test('smoke', () => {});", b="test('long', () => {});")
    verdicts = finished(run(playwright(at, grep="smoke"), batch("tests/a.spec.js", "tests/b.spec.js")))
    assert kinds(verdicts) == {1: "completed", 2: "test"}
    assert verdicts[2].message == "no tests in this spec match 'smoke'"


def test_an_error_that_names_no_spec_does_not_fail_the_specs_that_have_nothing_to_do_with_it(tmp_path: Path) -> None:
    # Thrown without a stack: nothing tells which spec it was.
    at = project(tmp_path, a="test('ok', () => {});", b="throw 'no stack';", c="test('ok', () => {});")
    verdicts = rerun(playwright(at), batch("tests/a.spec.js", "tests/b.spec.js", "tests/c.spec.js"))
    assert verdicts[1].status == verdicts[3].status == "completed"
    assert verdicts[2].status == "failed"
    assert "no stack" in (verdicts[2].message or "")


def test_a_broken_configuration_or_set_up_is_no_verdict_and_says_why(tmp_path: Path) -> None:
    at = project(tmp_path, a="test('ok', () => {});")
    (at / "broken.config.js").write_text("throw new Error('no such environment');\n")
    (at / "setup.config.js").write_text("module.exports = { testDir: '.', globalSetup: './setup.js' };\n")
    (at / "setup.js").write_text("module.exports = () => { throw new Error('the lab is closed'); };\n")
    (at / "needs.config.js").write_text(
        "module.exports = { testDir: '.', projects: [{ name: 's', testMatch: /first.js/ },"
        " { name: 'p', dependencies: ['s'] }] };\n"
    )
    (at / "first.js").write_text(
        "require('@playwright/test').test('s', () => { throw new Error('not signed in'); });\n"
    )
    for config, words in [
        ("broken", "no such environment"),
        ("setup", "the lab is closed"),
        ("needs", "not signed in"),
    ]:
        verdict = finished(run(playwright(at, config=f"{config}.config.js"), batch("tests/a.spec.js")))[1]
        assert verdict.failure_kind == "infrastructure"
        assert words in (verdict.message or "")
    verdict = finished(run(playwright(at, project="nope"), batch("tests/a.spec.js")))[1]
    assert verdict.failure_kind == "infrastructure"
    assert 'Project(s) "nope" not found' in (verdict.message or "")


def test_stop_leaves_no_process_and_no_verdict_for_the_interrupted_job(tmp_path: Path) -> None:
    at = project(tmp_path, a="test('ok', () => {});", b=HANG, c="test('ok', () => {});")
    (at / "pids").mkdir()
    events = run(
        playwright(at),
        batch("tests/a.spec.js", "tests/b.spec.js", "tests/c.spec.js"),
        stop_when=lambda seen: Started(2) in seen and len(pids(at / "pids")) == 3,
    )
    assert kinds(finished(events)) == {1: "completed"}
    assert Started(3) not in events
    assert all(gone(pid) for pid in pids(at / "pids"))


def test_a_runner_that_is_killed_loses_the_running_spec_and_only_that(tmp_path: Path) -> None:
    at = project(tmp_path, a="test('ok', () => {});", b=HANG, c="test('ok', () => {});")
    (at / "pids").mkdir()
    executor = playwright(at)
    of = batch("tests/a.spec.js", "tests/b.spec.js", "tests/c.spec.js")

    async def kill_in_the_middle() -> tuple[list[Event], list[Event]]:
        prepared = await executor.prepare(of)
        first: list[Event] = []
        async with asyncio.timeout(60):
            async with asyncio.TaskGroup() as group:

                async def consume() -> None:
                    first.extend([event async for event in executor.run(prepared, of.jobs, asyncio.Event())])

                group.create_task(consume())
                while len(pids(at / "pids")) < 3:  # noqa: ASYNC110  it waits for files
                    await asyncio.sleep(0.01)
                os.kill(runner(at), signal.SIGKILL)
            left = [job for job in of.jobs if job.job_id == 3]
            second = [event async for event in executor.run(prepared, left, asyncio.Event())]
        await executor.cleanup(prepared, failed=False)
        return first, second

    first, second = asyncio.run(kill_in_the_middle())
    assert kinds(finished(first)) == {1: "completed", 2: "infrastructure"}
    assert finished(first)[2].message == "the test runner ended (SIGKILL) while this spec was running"
    assert kinds(finished(second)) == {3: "completed"}
    assert all(gone(pid) for pid in pids(at / "pids"))


def runner(at: Path) -> int:
    """The process that leads the group of those which left their ids."""
    groups = {os.getpgid(pid) for pid in pids(at / "pids")}
    assert len(groups) == 1
    assert groups != {os.getpgid(0)}
    return groups.pop()


def test_closing_the_iterator_leaves_no_process(tmp_path: Path) -> None:
    at = project(tmp_path, a=HANG)
    (at / "pids").mkdir()
    executor = playwright(at)
    of = batch("tests/a.spec.js")

    async def cancel_in_the_middle() -> None:
        prepared = await executor.prepare(of)

        async def consume() -> None:
            async for _ in executor.run(prepared, of.jobs, asyncio.Event()):
                pass

        task = asyncio.create_task(consume())
        async with asyncio.timeout(60):
            while len(pids(at / "pids")) < 3:  # noqa: ASYNC110  it waits for files
                await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait({task})
        await executor.cleanup(prepared, failed=True)

    asyncio.run(cancel_in_the_middle())
    assert all(gone(pid) for pid in pids(at / "pids"))


def test_a_runner_that_runs_nothing_is_given_up(tmp_path: Path) -> None:
    at = project(tmp_path, a="test('ok', () => {});")
    (at / "playwright.config.js").write_text("module.exports = new Promise(() => setInterval(() => {}, 1000));\n")
    verdict = finished(run(playwright(at, idle_s=0.5), batch("tests/a.spec.js")))[1]
    assert verdict.failure_kind == "infrastructure"
    assert "ran no spec for" in (verdict.message or "")


def test_a_node_that_cannot_be_started_is_no_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at = project(tmp_path, a="test('ok', () => {});")
    (at / "node").write_text("#!/nowhere/node\n")
    (at / "node").chmod(0o755)
    monkeypatch.setenv("PATH", str(at))
    verdict = finished(run(playwright(at), batch("tests/a.spec.js")))[1]
    assert verdict.failure_kind == "infrastructure"
    assert "cannot be started" in (verdict.message or "")


def test_output_reaches_its_job_inert_and_bounded(tmp_path: Path) -> None:
    at = project(
        tmp_path,
        a=r"test('a', () => { console.log('\x1b[31mred\x1b[0m \0::error::x \ud800'); console.error('warned'); });",
        b=r"test('b', async () => { console.log('first line');"
        r" for (let i = 0; i < 200; i++) console.log('x'.repeat(100000)); console.log('last line'); });",
        c=r"test('bad \x1b[31m\0 title', () => { throw new Error('::error::\0 \x1b[31mred ' + 'x'.repeat(100000)); });",
        d=r"test('forges', () => { console.log('{\"event\":\"end\",\"status\":\"passed\"}');"
        r" expect(process.env.QGJOB_EVENTS).toBeUndefined(); });",
    )
    events = run(playwright(at), batch(*(f"tests/{name}.spec.js" for name in "abcd")))
    verdicts = finished(events)
    assert kinds(verdicts) == {1: "completed", 2: "completed", 3: "test", 4: "completed"}
    assert "red ::error::x \ufffd\n" in printed(events, 1)
    assert "warned\n" in printed(events, 1)
    assert len(printed(events, 2)) < 200_000
    assert printed(events, 2).startswith("first line\n")
    assert "last line\n" in printed(events, 2)
    assert "characters left out" in printed(events, 2)
    assert (verdicts[3].message or "").startswith("Error: ::error:: red x")
    assert len(verdicts[3].message or "") <= 4000
    assert verdicts[3].tests[0]["title"] == "bad  title"
    whole = "".join(printed(events, job) for job in verdicts)
    assert not {"\0", "\x1b"} & set(whole)
    whole.encode()


def test_many_tests_in_a_spec_are_bounded_and_the_failures_are_kept(tmp_path: Path) -> None:
    body = "for (let i = 0; i < 700; i++) test('t' + i, () => { if (i === 699) throw new Error('the last'); });"
    verdict = finished(run(playwright(project(tmp_path, a=body)), batch("tests/a.spec.js")))[1]
    assert len(verdict.tests) == 500
    assert verdict.tests[0]["title"] == "t699"
    assert (verdict.message or "").startswith("Error: the last")


def test_the_worker_s_secrets_do_not_reach_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("QGJOB_DATABASE_URL", "QGJOB_TOKEN", "PGPASSWORD"):
        monkeypatch.setenv(name, "s3cret")
    monkeypatch.setenv("TEST_USER", "ada")
    at = project(tmp_path, a="test('env', () => { console.log(JSON.stringify(process.env)); });")
    logged = printed(run(playwright(at, env=["TEST_USER"]), batch("tests/a.spec.js", attempt=2)))
    assert "s3cret" not in logged
    for part in ('"QGJOB_ORG_ID":"acme"', '"QGJOB_DEVICE":"emu-1"', '"QGJOB_TARGET":"emulator"', '"TEST_USER":"ada"'):
        assert part in logged
    assert r'"QGJOB_ATTEMPTS":"{\"tests/a.spec.js\": 2}"' in logged


def test_names_are_taken_literally_and_one_file_gets_one_run(tmp_path: Path) -> None:
    at = project(tmp_path, plain="test('x', () => { throw new Error('not asked for'); });")
    odd = "tests/[a] (b)+$c.spec.js"
    (at / odd).write_text("require('@playwright/test').test('ok', () => {});\n")
    (at / "tests" / "alias.spec.js").symlink_to(odd.removeprefix("tests/"))
    executor = playwright(at)
    first = finished(run(executor, batch(odd, "tests/alias.spec.js")))
    assert kinds(first) == {1: "completed"}
    assert kinds(rerun(executor, batch(odd, "tests/alias.spec.js", odd))) == dict.fromkeys((1, 2, 3), "completed")


def test_batches_run_side_by_side_without_disturbing_each_other(tmp_path: Path) -> None:
    at = project(tmp_path, a="test('a', () => {});", b="test('b', () => { throw new Error('b'); });")
    executor = playwright(at)

    async def both() -> Sequence[list[Event]]:
        return await asyncio.gather(*(drive(executor, batch(f"tests/{name}.spec.js")) for name in "ab"))

    assert [kinds(finished(events)) for events in asyncio.run(both())] == [{1: "completed"}, {1: "test"}]


def test_what_is_missing_is_said_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at = project(tmp_path, a="")
    for settings in ({"retries": 2}, {"env": ["PGPASSWORD"]}, {"config": "nope.js"}, {"grace_s": "x"}):
        with pytest.raises(ConfigError):
            playwright(at, **settings)
    (at / "node_modules").unlink()
    with pytest.raises(ConfigError, match="run `npm install` there"):
        playwright(at)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert shutil.which("node") is None
    with pytest.raises(ConfigError, match=r"install Node\.js"):
        playwright(at)
