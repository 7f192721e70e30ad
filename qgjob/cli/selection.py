"""Which jobs a submission means: paths and globs, lists, manifests, and the targets they are multiplied by."""

import glob
import os
import posixpath
from collections.abc import Iterable
from pathlib import Path, PurePath
from typing import get_args

import msgspec

from qgjob.cli import documents, output
from qgjob.errors import Usage
from qgjob.models.submission import JobSubmission
from qgjob.models.words import MAX_JOBS_PER_RUN, Priority, Reset, Retries, Selector, Target, TimeoutS

TARGETS: tuple[Target, ...] = get_args(Target)


class ManifestDefaults(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What every test of a manifest takes where it says nothing itself."""

    targets: list[str] | None = None
    priority: Priority | None = None
    timeout_s: TimeoutS | None = None
    retries: Retries | None = None
    reset: Reset | None = None
    dedupe: bool | None = None


class ManifestTest(ManifestDefaults, forbid_unknown_fields=True, kw_only=True):
    """One entry; `path` may be a glob."""

    path: str | None = None
    test_path: str | None = None


class Manifest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A TOML or JSON file that says what to run. Flags win over it."""

    tests: list[ManifestTest]
    org_id: str | None = None
    app_version_id: str | None = None
    defaults: ManifestDefaults = msgspec.field(default_factory=ManifestDefaults)
    labels: dict[str, str] = {}


def read_manifest(file: str) -> Manifest:
    text, content = documents.parsed(Path(file))
    return documents.fitting(Path(file), text, content, Manifest)


def read_list(file: str) -> list[str]:
    """One path or glob a line; blank lines and `#` comments are skipped."""
    return listed(documents.text_of(file))


def listed(text: str) -> list[str]:
    """One entry a line."""
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def expand(pattern: str, *, allow_empty: bool = False) -> list[str]:
    """A plain path is passed on unchecked, for it may exist on the worker only. A glob must match files here, unless
    nothing is fine, too."""
    if not glob.has_magic(pattern):
        return [no_folder(inside(pattern))]
    # `**` would otherwise take in the specs that packages ship with.
    wanted = "node_modules" in pattern
    try:
        if Path(pattern).is_file():
            return [inside(pattern)]
        found = glob.iglob(pattern, recursive=True)  # noqa: PTH207 - Path.glob takes no absolute pattern
        files = [PurePath(match) for match in found if Path(match).is_file()]
    except (OSError, ValueError) as error:  # longer than a name can be, for one
        raise Usage(f"cannot look for {pattern!r}: {getattr(error, 'strerror', None) or error}") from error
    paths = {inside(file.as_posix()) for file in files if wanted or "node_modules" not in file.parts}
    if not paths and not allow_empty:
        raise Usage(f"no file matches {pattern!r}", hint=f"globs are looked up in {Path.cwd()}", code="no_tests")
    return sorted(paths)


def no_folder(path: str) -> str:
    """A folder here cannot be a spec anywhere."""
    if path and "\0" not in path and os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises for too long a name
        below = "" if path == "." else f"{glob.escape(path)}/"
        raise Usage(f"{path} is a folder", hint=f"for the tests in it: '{below}**/*.spec.js'")
    return path


def say_missing(jobs: Iterable[JobSubmission]) -> None:
    """Who submits may have no checkout, so a file that is not here is worth a line, and no more."""
    paths = dict.fromkeys(job.test_path for job in jobs)
    missing = [path for path in paths if path and "\0" not in path and not os.path.isfile(path)]  # noqa: PTH113 - as above
    if missing:
        more = f", and {len(missing) - 1} more, are no files" if len(missing) > 1 else " is not a file"
        output.say(f"{missing[0]}{more} here; workers look for {'them' if len(missing) > 1 else 'it'} in their project")


def inside(path: str) -> str:
    """As the server takes it: without `./` and the like, and from the current folder on."""
    if not path or "\0" in path:  # the server refuses it in words
        return path
    said = posixpath.normpath(path)
    if PurePath(path).is_absolute():
        here = Path.cwd()
        real = Path(os.path.realpath(Path(path).parent), Path(path).name)  # where a symlink leads here
        within = next((each for each in (Path(os.path.normpath(path)), real) if each.is_relative_to(here)), None)
        said = ".." if within is None else within.relative_to(here).as_posix()
    if said == ".." or said.startswith("../"):
        raise Usage(f"the test {path!r} is outside of {Path.cwd()}", hint="tests are files below the current folder")
    return said


def parse_target(text: str) -> tuple[Target, Selector]:
    """`emulator`, `device:ios`, `browserstack:platform=android,region=eu`."""
    name, colon, refinement = text.partition(":")
    known: dict[str, Target] = {target: target for target in TARGETS}
    if name not in known:
        raise Usage(f"unknown target {name!r}", hint=f"one of {', '.join(TARGETS)}, optionally with :key=value,…")
    selector: Selector = {}
    for part in refinement.split(",") if colon else []:
        key, equals, value = part.partition("=")
        if part in {"android", "ios"}:
            key, value = "platform", part
        elif not equals or not key or not value:
            raise Usage(f"unreadable target {text!r}", hint="for example device:ios or browserstack:platform=android")
        if selector.setdefault(key, value) != value:
            raise Usage(f"target {text!r} gives {key} twice")
    return known[name], selector


def parse_labels(texts: Iterable[str]) -> dict[str, str]:
    labels: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise Usage(f"--label: not key=value: {text!r}")
        if labels.setdefault(key, value) != value:
            raise Usage(f"--label gives {key} twice: {key}={labels[key]} and {text}")
    return labels


def planned(
    test: list[str] | None,
    tests_from: str | None,
    manifest: str | None,
    flags: ManifestDefaults,
    targets: list[str],
    *,
    allow_empty: bool = False,
) -> tuple[Manifest, list[JobSubmission]]:
    """What these flags say together; `targets`: where they say none. Globs are looked up now."""
    plan = read_manifest(manifest) if manifest is not None else Manifest(tests=[])
    listed = [*(test or []), *(read_list(tests_from) if tests_from is not None else [])]
    tests = [*(ManifestTest(path=path) for path in listed), *plan.tests]
    return plan, jobs(tests, targets, plan.defaults, flags, allow_empty=allow_empty)


def jobs(
    tests: Iterable[ManifestTest],
    targets: list[str],
    defaults: ManifestDefaults,
    flags: ManifestDefaults,
    *,
    allow_empty: bool = False,
) -> list[JobSubmission]:
    """Tests times targets, in the order given, each combination once. Flags win over tests, tests over defaults."""
    found: dict[tuple[str, str, tuple[tuple[str, str], ...]], JobSubmission] = {}
    for test in tests:
        if (test.path is None) == (test.test_path is None):
            raise Usage("a test of the manifest needs `path`, and once")
        chosen = flags.targets or test.targets or defaults.targets or targets
        for path in expand(test.path or test.test_path or "", allow_empty=allow_empty):
            for target, selector in map(parse_target, chosen):
                job = JobSubmission(test_path=path, target=target, selector=selector or None)
                job.priority = None if flags.priority else test.priority
                job.timeout_s = None if flags.timeout_s else test.timeout_s
                job.retries = None if flags.retries is not None else test.retries
                job.reset = None if flags.reset else test.reset
                job.dedupe = None if flags.dedupe is not None else test.dedupe
                found.setdefault((path, target, tuple(sorted(selector.items()))), job)
    return list(found.values())


def refuse_too_many(jobs: list[JobSubmission]) -> None:
    if len(jobs) > MAX_JOBS_PER_RUN:
        raise Usage(f"{len(jobs)} jobs are more than a run takes ({MAX_JOBS_PER_RUN})", hint="submit them in parts")
