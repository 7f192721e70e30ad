"""What is submitted is what was asked for: tests times targets, globs that match, flags that win."""

import json
from pathlib import Path
from typing import Any

import pytest
from stand_in import Result, StandIn, qgjob, submitted

IDS = ("--org-id=qualgent", "--app-version-id=v1")


def planned(*arguments: str, cwd: Path | None = None, **variables: str) -> Any:
    result = qgjob("submit", *IDS, *arguments, "--dry-run", "--json", cwd=cwd, **variables)
    assert result.exit == 0, result
    return result.document["data"]


def refused(*arguments: str, cwd: Path | None = None) -> Result:
    result = qgjob("submit", *IDS, *arguments, "--dry-run", cwd=cwd)
    assert result.exit == 2, result
    assert result.stdout == ""
    return result


@pytest.fixture
def specs(tmp_path: Path) -> Path:
    for name in ("b.spec.js", "a.spec.js", "deep/er/c.spec.js", "node_modules/lib/x.spec.js", "readme.md"):
        file = tmp_path / "tests" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return tmp_path


def test_a_path_without_glob_characters_passes_unchecked_on_an_emulator() -> None:
    plan = planned("--test=tests/only-on-the-worker.spec.js")
    assert plan["jobs"] == [{"test_path": "tests/only-on-the-worker.spec.js", "target": "emulator"}]


def test_a_glob_expands_sorted_and_deduplicated_and_skips_what_packages_ship(specs: Path) -> None:
    plan = planned("--test=tests/**/*.spec.js", "--test=tests/a.*", cwd=specs)
    assert [job["test_path"] for job in plan["jobs"]] == [
        "tests/a.spec.js",
        "tests/b.spec.js",
        "tests/deep/er/c.spec.js",
    ]


def test_a_glob_that_matches_nothing_is_a_usage_error(specs: Path) -> None:
    result = refused("--test=tests/*.nothing", cwd=specs)
    assert "error: no file matches 'tests/*.nothing'" in result.stderr


def test_a_file_whose_name_looks_like_a_glob_is_that_file(tmp_path: Path) -> None:
    (tmp_path / "[id].spec.js").touch()
    assert planned("--test=[id].spec.js", cwd=tmp_path)["jobs"][0]["test_path"] == "[id].spec.js"


@pytest.mark.parametrize(
    "path",
    ["./tests/a.spec.js", "tests//a.spec.js", "tests/./a.spec.js", "tests/deep/../a.spec.js", "{cwd}/tests/a.spec.js"],
)
def test_a_path_is_submitted_as_the_server_takes_it(specs: Path, path: str) -> None:
    path = path.format(cwd=specs)
    (specs / "list").write_text(path)
    for flags in ([f"--test={path}"], ["--tests-from=list"], [f"--test={path.replace('a.spec', 'a.sp*')}"]):
        assert [job["test_path"] for job in planned(*flags, cwd=specs)["jobs"]] == ["tests/a.spec.js"], flags


def test_an_absolute_path_is_that_file_also_where_a_symlink_leads_here(specs: Path) -> None:
    (specs / "link").symlink_to(specs / "tests")
    plan = planned(f"--test={specs}/link/a.spec.js", cwd=specs / "tests")
    assert plan["jobs"][0]["test_path"] == "a.spec.js"


@pytest.mark.parametrize("path", ["../a.spec.js", "er/../../a.spec.js", "/elsewhere/a.spec.js", "../*.spec.js"])
def test_a_path_that_leads_out_of_the_current_folder_is_a_usage_error(specs: Path, path: str) -> None:
    here = specs / "tests" / "deep"
    assert f"is outside of {here}" in refused(f"--test={path}", cwd=here).stderr


def test_a_folder_is_a_usage_error_that_tells_the_glob(specs: Path) -> None:
    for path in ("tests", "./tests/", str(specs / "tests")):
        result = refused(f"--test={path}", cwd=specs)
        assert "tests is a folder" in result.stderr
        assert "'tests/**/*.spec.js'" in result.stderr


def test_a_path_that_is_no_file_here_is_one_line_and_no_error(specs: Path) -> None:
    def said(*flags: str) -> str:
        result = qgjob("submit", *IDS, "--dry-run", "--json", *flags, cwd=specs)
        assert result.exit == 0
        return result.stderr

    assert said("--test=tests/a.spec.js") == ""
    missing = "tests/nope.spec.js is not a file here; workers look for it in their project\n"
    assert said("--test=tests/nope.spec.js", "--target=device:ios", "--target=emulator") == missing
    assert said("--test=tests/nope.spec.js", "--quiet") == ""
    several = "x, and 1 more, are no files here; workers look for them in their project\n"
    assert said("--test=x", "--test=y", "--test=tests/a.spec.js") == several


def test_tests_are_multiplied_by_targets() -> None:
    plan = planned("--test=a", "--test=b", "--target=device:ios", "--target=browserstack:platform=android,region=eu")
    ios, stack = {"platform": "ios"}, {"platform": "android", "region": "eu"}
    assert plan["jobs"] == [
        {"test_path": "a", "target": "device", "selector": ios},
        {"test_path": "a", "target": "browserstack", "selector": stack},
        {"test_path": "b", "target": "device", "selector": ios},
        {"test_path": "b", "target": "browserstack", "selector": stack},
    ]


def test_the_same_test_on_the_same_target_is_submitted_once() -> None:
    plan = planned("--test=a", "--test=a", "--target=device:ios", "--target=device:platform=ios")
    assert len(plan["jobs"]) == 1


@pytest.mark.parametrize("target", ["phone", "device:", "device:tall", "device:=x", "device:os=", "device:ios,android"])
def test_an_unreadable_target_is_a_usage_error(target: str) -> None:
    assert "target" in refused("--test=a", f"--target={target}").stderr


def test_a_list_comes_from_a_file_or_from_stdin(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("# smoke\na\n\n  b \n")
    assert [job["test_path"] for job in planned("--tests-from=list", cwd=tmp_path)["jobs"]] == ["a", "b"]
    result = qgjob("submit", *IDS, "--tests-from=-", "--dry-run", "--json", stdin="c\n")
    assert [job["test_path"] for job in result.document["data"]["jobs"]] == ["c"]


@pytest.mark.parametrize("kind", ["toml", "json"])
def test_a_manifest_says_what_to_run_and_flags_win_over_it(tmp_path: Path, kind: str) -> None:
    manifest = tmp_path / f"suite.{kind}"
    manifest.write_text(
        """
        labels = {suite = "smoke"}
        [defaults]
        targets = ["device:android"]
        priority = "low"
        retries = 1
        [[tests]]
        path = "a"
        timeout_s = 60
        [[tests]]
        test_path = "b"
        targets = ["emulator", "device:ios"]
        priority = "high"
        """
        if kind == "toml"
        else json.dumps(
            {
                "labels": {"suite": "smoke"},
                "defaults": {"targets": ["device:android"], "priority": "low", "retries": 1},
                "tests": [
                    {"path": "a", "timeout_s": 60},
                    {"test_path": "b", "targets": ["emulator", "device:ios"], "priority": "high"},
                ],
            }
        )
    )
    plan = planned(f"--manifest={manifest}")
    assert plan["labels"] == {"suite": "smoke"}
    assert plan["defaults"] == {"priority": "low", "retries": 1}
    assert plan["jobs"] == [
        {"test_path": "a", "target": "device", "selector": {"platform": "android"}, "timeout_s": 60},
        {"test_path": "b", "target": "emulator", "priority": "high"},
        {"test_path": "b", "target": "device", "selector": {"platform": "ios"}, "priority": "high"},
    ]
    plan = planned(
        f"--manifest={manifest}", "--priority=urgent", "--target=emulator", "--retries=0", "--job-timeout=2m"
    )
    assert plan["defaults"] == {"priority": "urgent", "retries": 0, "timeout_s": 120}
    assert plan["jobs"] == [{"test_path": "a", "target": "emulator"}, {"test_path": "b", "target": "emulator"}]


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("[[tests]]\npath = 'a'\nprioritty = 'high'",
         "line 3: tests[0] has a key 'prioritty' that means nothing; did you mean priority? it may have targets, "
         "priority, timeout_s, retries, reset, dedupe, path, test_path"),
        ("[[tests]]\npath = 'a'\n[[tests]]\npath = 'b'\nreset = 'cleer'",
         "line 5: tests[1].reset is one of clear, none, reinstall, restart, not \"cleer\"; did you mean clear?"),
        ("tests = []\n[defalts]\nretries = 1",
         "line 2: the file has a key 'defalts' that means nothing; did you mean defaults?"),
        ("tests = [{path = 'a', retries = 11}]", "line 1: tests[0].retries is a whole number from 0 to 10, not 11"),
        ("tests = [{path = 'a', dedupe = 'yes'}]", "line 1: tests[0].dedupe is true or false, not \"yes\""),
        ("tests = [{path = 'a', targets = 'device'}]", "line 1: tests[0].targets is a list, not \"device\""),
        ("tests = ['a']", "tests[0] is a table of keys and values, not \"a\""),
        ("tests = []\nlabels = {build = 7}", "line 2: labels.build is a text, not 7"),
        ("defaults = {}", "the file lacks tests"),
        ("tests = [\n{path = }]", "(at line 2, column 9)"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_manifest_is_told_with_its_line(tmp_path: Path, written: str, told: str) -> None:
    (tmp_path / "m.toml").write_text(written)
    stderr = " ".join(refused("--manifest=m.toml", cwd=tmp_path).stderr.split()).replace(" hint: ", "; ")
    assert "m.toml" in stderr
    assert told in stderr


def test_a_manifest_in_yaml_is_told_what_it_was_read_as(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text("tests:\n  - path: a.js\n")
    stderr = " ".join(refused("--manifest=m.yaml", cwd=tmp_path).stderr.split())
    assert "hint: it is read as TOML, for its name does not end in .json; YAML is not read" in stderr


def test_a_manifest_in_json_is_told_about_in_the_same_words(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text('{"tests": [\n  {"path": "a",\n   "priority": "asap"}]}')
    told = 'm.json, line 3: tests[0].priority is one of high, low, normal, urgent, not "asap"'
    assert told in refused("--manifest=m.json", cwd=tmp_path).stderr
    (tmp_path / "m.json").write_text('{"tests": [\n},]')
    stderr = refused("--manifest=m.json", cwd=tmp_path).stderr
    assert "line 2 column 1" in stderr
    assert "hint: it is read as JSON, for its name says so" in stderr


def test_a_file_that_cannot_be_read_is_named_once_and_says_why(tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes("tests/caf\xe9.js\n".encode("latin-1"))
    for flag in ("--tests-from", "--manifest"):
        assert refused(f"{flag}=gone", cwd=tmp_path).stderr == "error: cannot read gone: No such file or directory\n"
        assert "cannot read latin.txt: it is not UTF-8 text" in refused(f"{flag}=latin.txt", cwd=tmp_path).stderr
        binary = qgjob("submit", *IDS, f"{flag}=-", stdin="tests/caf\udce9.js\n")
        assert (binary.exit, binary.stderr) == (2, "error: cannot read stdin: it is not UTF-8 text\n")


def test_a_label_has_one_value(tmp_path: Path) -> None:
    assert "--label gives a twice: a=1 and a=2" in refused("--test=a", "--label=a=1", "--label=a=2").stderr
    (tmp_path / ".qgjob.toml").write_text('labels = {a = "1"}')
    assert planned("--test=a", "--label=a=2", "--label=a=2", cwd=tmp_path)["labels"] == {"a": "2"}


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--test=a", "--job-timeout=soon"),
        ("--test=a", "--job-timeout=9d"),
        ("--test=a", "--timeout=1h30", "--wait"),
        ("--test=a", "--label=novalue"),
        ("--test=a", "--retries=11"),
        ("--test=a", "--priority=critical"),
        ("--test=", "--target=device"),
        ("--tests-from=missing.txt",),
        ("--manifest=missing.toml",),
        ("--test=a", "--junit-xml=no/such/folder/out.xml"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error_before_anything_is_sent(arguments: tuple[str, ...]) -> None:
    assert "error: " in refused(*arguments).stderr


def test_nothing_to_submit_is_an_error_unless_allowed(tmp_path: Path) -> None:
    assert qgjob("submit", *IDS, "--tests-from=-").exit == 2
    report = tmp_path / "out.xml"
    for none in ("--tests-from=-", "--test=tests/*.nothing"):
        result = qgjob("submit", *IDS, none, "--allow-empty", f"--junit-xml={report}", cwd=tmp_path)
        assert result.exit == 0
        assert "<testsuites" in report.read_text()
        report.unlink()


def test_a_missing_organisation_names_the_three_ways_to_give_it(tmp_path: Path) -> None:
    result = qgjob("submit", "--test=a", "--app-version-id=v1", cwd=tmp_path)
    assert result.exit == 2
    assert "--org-id" in result.stderr
    assert "QGJOB_ORG_ID" in result.stderr
    assert ".qgjob.toml" in result.stderr


def test_a_submission_is_one_request_with_an_idempotency_key() -> None:
    with StandIn() as server:
        server.on("POST", "/runs", submitted(34, 35, 36, deduplicated=1))
        result = qgjob("submit", *IDS, "--test=a", "--test=b", "--test=c", "--label=branch=main", server=server)
        (request,) = server.asked("POST", "/runs")
    assert result.exit == 0
    assert result.stdout == "Submitted run 12 · 3 jobs · 1 deduplicated\n"
    assert "qgjob status --run-id=12 --watch" in result.stderr
    assert len(request.headers["idempotency-key"]) == 36
    assert request.body["labels"] == {"branch": "main"}


def test_a_single_job_is_named_with_the_command_that_shows_it() -> None:
    with StandIn() as server:
        server.on("POST", "/runs", submitted(34))
        arguments = ("submit", "--org-id=qualgent", "--app-version-id=xyz123", "--test=tests/onboarding.spec.js")
        result = qgjob(*arguments, server=server)
        quiet = qgjob(*arguments, "-q", server=server)
    assert result.stdout == "Submitted run 12 · job 34\n"
    assert "qgjob status --job-id=34" in result.stderr
    assert (quiet.stdout, quiet.stderr) == ("12\n", "")


def test_a_given_idempotency_key_is_sent_and_a_replay_is_said() -> None:
    with StandIn() as server:
        server.on("POST", "/runs", submitted(34, 35, replayed=True))
        result = qgjob("submit", *IDS, "--test=a", "--test=b", "--idempotency-key=build-7", server=server)
        (request,) = server.asked("POST", "/runs")
    assert request.headers["idempotency-key"] == "build-7"
    assert "before" in result.stdout


def test_a_dry_run_needs_no_server_and_shows_the_jobs() -> None:
    result = qgjob("submit", *IDS, "--test=a", "--target=device:ios", "--priority=high", "--dry-run")
    assert result.exit == 0
    assert result.stdout.splitlines()[1].split() == ["a", "device:platform=ios", "high"]
    assert "nothing was sent" in result.stderr
