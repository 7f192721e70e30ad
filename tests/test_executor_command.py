"""The command executor runs each spec by an argument list: no shell, nothing left behind, no verdict made up."""

import asyncio
import os
import sys
from contextlib import aclosing
from pathlib import Path

import pytest
from batches import StopWhen, batch, finished, gone, no_devices, pids, printed, rerun, run
from msgspec.structs import replace

from worker.batch import PrepareError
from worker.config import ConfigError
from worker.executors import Event, Executor, Options, Started, load

PY = sys.executable


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "tests").mkdir()
    (tmp_path / "pids").mkdir()
    (tmp_path / "stubborn.py").write_text(
        "import os, signal, time\nfrom pathlib import Path\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "Path('pids', str(os.getpid())).touch()\ntime.sleep(600)\n"
    )
    return tmp_path


def spec(project: Path, name: str, body: str) -> str:
    (project / "tests" / name).write_text(f"import os, sys, time\nfrom pathlib import Path\n{body}\n")
    return f"tests/{name}"


def command(project: Path, **settings: object) -> Executor:
    return load("command", Options(project, no_devices(), {"run": [PY, "{spec}"], "grace_s": 0.5, **settings}))


def test_the_exit_code_is_the_verdict(project: Path) -> None:
    good, bad = spec(project, "good.py", "print('fine')"), spec(project, "bad.py", "sys.exit('total is wrong')")
    events = run(command(project), batch(good, bad))
    verdicts = finished(events)
    assert (verdicts[1].status, verdicts[1].failure_kind, verdicts[1].message) == ("completed", None, None)
    assert (verdicts[2].status, verdicts[2].failure_kind) == ("failed", "test")
    assert verdicts[2].message == "exit code 1: total is wrong"
    assert printed(events) == "fine\n"


def test_some_exit_codes_are_no_verdict_and_neither_is_a_signal(project: Path) -> None:
    usage, killed = spec(project, "usage.py", "sys.exit(4)"), spec(project, "killed.py", "os.kill(os.getpid(), 9)")
    verdicts = finished(run(command(project, error_codes=[4]), batch(usage, killed)))
    assert [verdicts[job].failure_kind for job in (1, 2)] == ["infrastructure", "infrastructure"]
    assert verdicts[1].message == "no verdict, exit code 4"
    assert verdicts[2].message == "no verdict, SIGKILL"


def test_a_program_that_cannot_be_started_is_no_verdict(project: Path) -> None:
    (project / "tool").write_text("#!/nowhere/interpreter\n")
    (project / "tool").chmod(0o755)
    verdict = finished(run(command(project, run=["./tool"]), batch(spec(project, "a.py", ""))))[1]
    assert verdict.failure_kind == "infrastructure"
    assert "cannot be started" in (verdict.message or "")


def test_fields_are_filled_in_and_never_split(project: Path) -> None:
    show = [PY, "-c", "import sys; print(sys.argv[1:])"]
    show += ["{spec}", "{device}", "{org}/{app_version}", "{target}#{attempt}", "{{x}}"]
    name = spec(project, "a b;$(id).py", "")
    assert printed(run(command(project, run=show), batch(name, attempt=3))) == (
        f"['{name}', 'emu-1', 'acme/v1.2.3', 'emulator#3', '{{x}}']\n"
    )


@pytest.mark.parametrize(
    "argument",
    ["{spec.__class__}", "{spec[0]}", "{spec!r}", "{spec:>10}", "{spec:{device}}", "{0}", "{}", "{nope}", "{", "x}"],
)
def test_anything_but_a_known_field_is_refused_at_the_start(project: Path, argument: str) -> None:
    with pytest.raises(ConfigError, match="run: "):
        command(project, run=[PY, argument])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"prepare": [[PY, "{spec}"]]}, "prepare: "),
        ({"reset": [[PY, "{result}"]]}, "reset: "),
        ({"run": []}, "an empty command"),
        ({"run": "rm -rf {spec}"}, "array"),
        ({"run": ["no-such-program-here"]}, "no program 'no-such-program-here'"),
        ({"result": "junit"}, "need each other"),
        ({"run": [PY, "{result}"]}, "need each other"),
        ({"result": "tap"}, "tap"),
        ({"shell": True}, "there is no shell here; there are run, "),
        ({"env": ["PGPASSWORD"]}, "PGPASSWORD"),
        ({"env": ["QGJOB_TOKEN"]}, "QGJOB_TOKEN"),
    ],
)
def test_wrong_settings_are_said_at_the_start(project: Path, settings: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        command(project, **settings)


def test_the_setting_that_is_needed_is_named(project: Path) -> None:
    with pytest.raises(ConfigError, match=r"^--setting: run is needed, as in --setting=run=…$"):
        load("command", Options(project, no_devices()))


def test_prepare_and_cleanup_run_once_a_batch_and_reset_before_each_spec(project: Path) -> None:
    note = "import sys; open('notes', 'a').write(sys.argv[1] + '\\n')"
    paths = [spec(project, "a.py", "open('notes', 'a').write('a\\n')"), spec(project, "b.py", "sys.exit(1)")]
    executor = command(
        project,
        prepare=[[PY, "-c", note, "prepare {device}"]],
        reset=[[PY, "-c", note, "reset {spec}"]],
        cleanup=[[PY, "-c", note, "cleanup {target}"]],
    )
    run(executor, batch(*paths))
    assert (project / "notes").read_text().splitlines() == [
        "prepare emu-1", "reset tests/a.py", "a", "reset tests/b.py", "cleanup emulator",
    ]  # fmt: skip


def test_a_prepare_that_fails_says_why(project: Path) -> None:
    executor = command(project, prepare=[[PY, "-c", "import sys; sys.exit('device offline')"]])
    with pytest.raises(PrepareError, match="exit code 1: device offline"):
        run(executor, batch("tests/a.py"))


def test_a_value_that_reads_as_an_option_is_refused(project: Path) -> None:
    with pytest.raises(PrepareError, match="cannot be part of a command line"):
        run(command(project), replace(batch("tests/a.py"), org_id="--config=evil"))


def test_a_reset_that_fails_is_no_verdict_and_the_spec_is_not_run(project: Path) -> None:
    name = spec(project, "a.py", "Path('ran').touch()")
    executor = command(project, reset=[[PY, "-c", "import sys; sys.exit('no device')"]])
    verdict = finished(run(executor, batch(name)))[1]
    assert verdict.failure_kind == "infrastructure"
    assert (verdict.message or "").endswith("exit code 1: no device")
    assert not (project / "ran").exists()


def test_a_cleanup_that_fails_is_logged_and_changes_nothing(project: Path, caplog: pytest.LogCaptureFixture) -> None:
    executor = command(project, cleanup=[[PY, "-c", "import sys; sys.exit('gone')"]])
    assert finished(run(executor, batch(spec(project, "a.py", ""))))[1].status == "completed"
    assert "exit code 1: gone" in caplog.text


def test_a_missing_spec_and_a_path_out_of_the_project_fail_for_good(project: Path) -> None:
    verdicts = finished(run(command(project), batch("tests/nope.py", "../etc/passwd", "-c")))
    assert {(verdict.failure_kind, verdict.permanent) for verdict in verdicts.values()} == {("test", True)}
    assert verdicts[1].message == "no such spec file: tests/nope.py"


def junit(project: Path, name: str, body: str, *, code: int = 0) -> str:
    return spec(project, name, f"Path(sys.argv[1]).write_text({body!r})\nsys.exit({code})")


def test_a_junit_file_gives_the_tests_and_the_first_failure(project: Path) -> None:
    case = '<testcase classname="cart" name="{}" time="0.5">{}</testcase>'
    suite = "<testsuites><testsuite>{}</testsuite></testsuites>"
    good = case.format("ok", "") + case.format("later", '<skipped message="no camera"/>')
    bad = case.format("sum", '<failure message="2 != 3">Traceback</failure>') + case.format("x", "<error>boom</error>")
    executor = command(project, run=[PY, "{spec}", "{result}"], result="junit", error_codes=[5])
    paths = [
        junit(project, "good.py", suite.format(good)),
        junit(project, "bad.py", suite.format(good + bad), code=1),
        junit(project, "odd.py", suite.format(good), code=1),
        junit(project, "none.py", suite.format("")),
        junit(project, "broken.py", "<testsuite>"),
        junit(project, "bomb.py", '<!DOCTYPE x [<!ENTITY a "aaa">]><testsuite>&a;</testsuite>'),
        spec(project, "silent.py", ""),
        junit(project, "excused.py", suite.format(good), code=5),
        junit(project, "lines.py", suite.format(bad.replace("<testcase", "<testcase line='7'") + good), code=1),
    ]
    verdicts = finished(run(executor, batch(*paths)))
    assert [verdict.failure_kind for verdict in verdicts.values()] == [
        None, "test", "test", "infrastructure", "infrastructure", "infrastructure", "infrastructure", "infrastructure",
        "test",
    ]  # fmt: skip
    assert [test.get("line") for test in verdicts[9].tests] == [7, 7, None, None]
    assert verdicts[1].tests == [
        {"title": "cart › ok", "status": "passed", "duration_s": 0.5, "message": None},
        {"title": "cart › later", "status": "skipped", "duration_s": 0.5, "message": "no camera"},
    ]
    assert verdicts[2].message == "2 != 3"
    assert [test["status"] for test in verdicts[2].tests] == ["passed", "skipped", "failed", "failed"]
    assert verdicts[3].message == "no test failed, but exit code 1"
    assert "names no test" in (verdicts[4].message or "")
    assert "cannot be read" in (verdicts[5].message or "")
    assert "not plain" in (verdicts[6].message or "")
    assert "wrote no result file" in (verdicts[7].message or "")


TREE = """
import subprocess
Path('pids', str(os.getpid())).touch()
subprocess.Popen([sys.executable, 'stubborn.py'])
"""


def two_processes(project: Path) -> StopWhen:
    return lambda seen: Started(1) in seen and len(pids(project / "pids")) == 2


def test_stop_ends_the_whole_group_and_our_reason_wins(project: Path) -> None:
    body = TREE + "try: time.sleep(600)\nexcept KeyboardInterrupt: Path(sys.argv[1]).write_text('<x><testcase/></x>')"
    executor = command(project, run=[PY, "{spec}", "{result}"], result="junit")
    slow, other = spec(project, "slow.py", body), spec(project, "other.py", "")
    events = run(executor, batch(slow, other), stop_when=two_processes(project))
    assert finished(events) == {}
    assert Started(2) not in events
    assert all(gone(pid) for pid in pids(project / "pids"))


def test_nothing_outlives_its_spec(project: Path) -> None:
    # It ends while its child, which holds the pipe of the output, lives on.
    wait = "while len(list(Path('pids').iterdir())) < 2: time.sleep(0.01)"
    verdicts = finished(run(command(project), batch(spec(project, "a.py", TREE + wait))))
    assert verdicts[1].status == "completed"
    assert all(gone(pid) for pid in pids(project / "pids"))


def test_closing_the_iterator_ends_the_process(project: Path) -> None:
    executor = command(project)
    of = batch(
        spec(project, "slow.py", "Path('pids', str(os.getpid())).touch(); print('up', flush=True); time.sleep(600)")
    )

    async def leave_early() -> list[Event]:
        prepared = await executor.prepare(of)
        seen: list[Event] = []
        async with aclosing(executor.run(prepared, of.jobs, asyncio.Event())) as events:  # type: ignore[type-var]
            async for event in events:
                if not isinstance(event, Started):
                    seen.append(event)
                    break
        await executor.cleanup(prepared, failed=True)
        return seen

    assert asyncio.run(leave_early())
    assert all(gone(pid) for pid in pids(project / "pids"))


def test_output_is_bounded_and_keeps_its_start_and_its_end(project: Path) -> None:
    body = "print('first line')\nfor _ in range(200): print('x' * 100_000)\nprint('last line')"
    logged = printed(run(command(project), batch(spec(project, "loud.py", body))))
    assert len(logged) < 200_000
    assert logged.startswith("first line\n")
    assert logged.endswith("last line\n")
    assert "characters left out" in logged


def test_output_is_kept_inert(project: Path) -> None:
    body = r"sys.stdout.buffer.write(b'\x1b[31mred\x1b[0m\x00 \xff\n::error::x\n'); sys.exit(3)"
    events = run(command(project), batch(spec(project, "a.py", body)))
    assert printed(events) == "red \ufffd\n::error::x\n"
    assert finished(events)[1].message == "exit code 3: red \ufffd\n::error::x"


def test_the_worker_s_secrets_do_not_reach_tests(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("QGJOB_DATABASE_URL", "QGJOB_TOKEN", "PGPASSWORD", "AWS_SECRET_ACCESS_KEY", "TEST_USER"):
        monkeypatch.setenv(name, "s3cret" if name != "TEST_USER" else "ada")
    name = spec(project, "a.py", "for item in sorted(os.environ.items()): print(*item)")
    logged = printed(run(command(project, env=["TEST_USER"]), batch(name, attempt=2)))
    assert "s3cret" not in logged
    for line in (
        "TEST_USER ada",
        "QGJOB_ORG_ID acme",
        "QGJOB_APP_VERSION_ID v1.2.3",
        "QGJOB_TARGET emulator",
        "QGJOB_DEVICE emu-1",
        'QGJOB_ATTEMPTS {"tests/a.py": 2}',
        f"PATH {os.environ['PATH']}",
    ):
        assert f"{line}\n" in logged


def test_every_job_gets_exactly_one_verdict(project: Path) -> None:
    bodies = {"a.py": "", "b.py": "sys.exit(1)", "c.py": "os.kill(os.getpid(), 11)", "d.py": "os.close(1); os.close(2)"}
    verdicts = rerun(command(project), batch(*(spec(project, *item) for item in bodies.items()), "tests/nope.py"))
    assert sorted(verdicts) == [1, 2, 3, 4, 5]
