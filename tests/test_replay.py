"""A replay runs every test once through the real functions, the same each time, and judges by bounds that hold."""

import json
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any, Literal

import msgspec
import pytest
from conftest import url_of
from engine import Engine
from stand_in import qgjob

from qgjob.models.words import MAX_JOBS_PER_RUN
from qgjob.replay import Plan
from worker.replay import batch_instances, comparison, savings
from worker.replay.__main__ import main
from worker.replay.baselines import (
    BASELINES,
    longest_first,
    one_device_per_group,
    reinstall_every_test,
    skip_install_if_present,
)
from worker.replay.durations import SETS
from worker.replay.schedule import Fleet, feedback_s, lower_bound_s, makespan_s
from worker.replay.synthetic import Mix, draw
from worker.replay.trial import replayed
from worker.replay.workload import LONGEST_S, BadWorkload, Spec, Submission, Workload, earlier, read


@pytest.fixture
def template_url(server: Any) -> str:
    """A migrated database without a session, as one has to be to be copied."""
    return url_of(server.template_dbname)


FLEET = Fleet(devices=3, install_s=40.0, reset_s=3.0)


def small(seed: int, load: float | None = None) -> Workload:
    return draw(Mix(SETS["datahub"], 1.0, ("small",), 4, 2, 0.15, load), FLEET.devices, Random(seed))


def run(*durations_s: float, build: str = "v1", at_s: float = 0.0) -> Submission:
    return Submission(
        at_s, "acme", build, tuple(Spec(f"{n}.spec.js", "emulator", d) for n, d in enumerate(durations_s))
    )


def plan_of(report: Literal["workload", "batch-instances", "savings"], **options: Any) -> Plan:
    usual: dict[str, Any] = {
        "seed": 1, "seeds": 1, "install_s": 40, "reset_s": 3, "scale": 1, "noise": 0.15, "orgs": 2, "history": (1,),
        "sizes": ("small", "medium", "large"), "durations": ("datahub",),
    }  # fmt: skip
    return Plan(report=report, **usual | options)


def test_the_same_seed_gives_the_same_schedule(template_url: str) -> None:
    first, again = (replayed(template_url, small(7), FLEET, seed=7, noise=0.15, history=1) for _ in range(2))
    assert first == again
    assert small(7) == small(7) != small(8)


@pytest.mark.parametrize("load", [None, 0.7])
def test_every_test_runs_exactly_once_for_its_duration(template_url: str, load: float | None) -> None:
    workload = small(3, load)
    schedule = replayed(template_url, workload, FLEET, seed=3, noise=0.15, history=0)
    assert sum(stay.tests for stay in schedule.stays) == sum(len(one.tests) for one in workload)
    tests_s = sum(test.duration_s for one in workload for test in one.tests)
    resets = sum(max(0, stay.tests - stay.installed) for stay in schedule.stays)
    expected_s = tests_s + schedule.installs * FLEET.install_s + resets * FLEET.reset_s
    for_nothing, rest_s = divmod(schedule.device_s - expected_s + 0.01, FLEET.reset_s)  # an idle device was faster
    assert 0 <= for_nothing < len(schedule.stays) / 4
    assert rest_s < 0.02
    assert min(feedback_s(schedule, workload)) > 0


def test_a_device_does_one_thing_at_a_time(template_url: str) -> None:
    schedule = replayed(template_url, small(4), FLEET, seed=4, noise=0.15, history=0)
    for device in {stay.device for stay in schedule.stays}:
        stays = sorted((stay.start_s, stay.end_s) for stay in schedule.stays if stay.device == device)
        assert all(before[1] <= after[0] + 1e-3 for before, after in pairwise(stays))


def test_the_database_that_is_named_stays_as_it_is(template_url: str) -> None:
    replayed(template_url, [run(5, 5)], FLEET, seed=1, noise=0.0, history=1)
    with Engine(template_url) as after:
        assert after.value("select count(*) from qgjob.job") == 0


def test_what_ran_before_is_learned_from(template_url: str) -> None:
    """The long test, which is submitted last, goes first when it is known."""
    workload = [run(*[20] * 12, 300)]
    (before,) = earlier(workload, Random(1), noise=0.0, runs=1)
    assert [test.duration_s for test in before[0].tests] == [20] * 12 + [300]
    unseen, seen = (
        makespan_s(replayed(template_url, workload, FLEET, seed=1, noise=0.0, history=runs), workload)
        for runs in (0, 1)
    )
    assert seen == pytest.approx(40 + 300, abs=1)
    assert unseen > seen + 60


def test_what_ran_before_is_of_no_build_of_the_workload() -> None:
    workload = [run(10, build="earlier-1"), run(10, build="earlier--7")]
    assert [before[0].app_version_id for before in earlier(workload, Random(1), noise=0.0, runs=2)] == [
        "earlier---1", "earlier---2"]  # fmt: skip


def test_what_is_urgent_is_replayed_first(template_url: str) -> None:
    submissions = [run(50), Submission(0, "acme", "v2", (Spec("fix.js", "emulator", 50, "urgent"),))]
    schedule = replayed(template_url, submissions, Fleet(1, 40, 3), seed=1, noise=0, history=0)
    assert schedule.ends_s == [180, 90]


def test_what_ran_before_is_submitted_in_runs_that_are_accepted() -> None:
    workload = [run(*[1.0] * MAX_JOBS_PER_RUN), Submission(9, "acme", "v2", (Spec("new.js", "emulator", 1),))]
    (before,) = earlier(workload, Random(1), noise=0.0, runs=1)
    assert [len(submission.tests) for submission in before] == [MAX_JOBS_PER_RUN, 1]


def test_several_targets_have_devices_of_their_own(template_url: str) -> None:
    tests = tuple(Spec("a.spec.js", target, 10.0) for target in ("emulator", "device"))
    schedule = replayed(template_url, [Submission(0, "acme", "v1", tests)], FLEET, seed=1, noise=0, history=0)
    assert {stay.device for stay in schedule.stays} == {"emulator-1", "device-1"}
    assert schedule.ends_s == [50.0]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("load", [None, 0.5, 2.0])
def test_no_schedule_beats_the_lower_bound(seed: int, load: float | None) -> None:
    random = Random(seed)
    fleet = Fleet(random.randint(1, 9), random.uniform(0, 60), random.uniform(0, 10))
    sizes = ("small", "medium") if seed % 2 else ("small",)
    workload = draw(Mix(SETS["metamask-android"], 0.3, sizes, random.randint(1, 8), 2, 0.15, load), 4, random)
    bound_s = lower_bound_s(workload, fleet)
    for baseline in BASELINES.values():
        assert makespan_s(baseline(workload, fleet), workload) >= bound_s - 1e-6


@pytest.mark.parametrize("seed", range(3))
def test_the_real_scheduler_does_not_beat_the_lower_bound(template_url: str, seed: int) -> None:
    workload = small(seed)
    schedule = replayed(template_url, workload, FLEET, seed=seed, noise=0.15, history=0)
    assert makespan_s(schedule, workload) >= lower_bound_s(workload, FLEET) - 1e-3


def test_the_lower_bound_of_small_cases() -> None:
    fleet = Fleet(devices=2, install_s=10, reset_s=1)
    assert lower_bound_s([run(100, 5)], fleet) == 110  # the longest test behind its install
    assert lower_bound_s([run(20, 20, 20, 20)], fleet) == (80 + 2 * 10 + 2 * 1) / 2  # an install on each device
    assert lower_bound_s([run(5), run(50, build="v2", at_s=100)], fleet) == 160  # the late one
    assert lower_bound_s([run(5), run(50, at_s=100)], fleet) == 151  # its build may be there already


def test_the_baselines_do_what_they_say() -> None:
    fleet = Fleet(devices=2, install_s=10, reset_s=1)
    workload = [run(20, 5, 5), run(30, build="v2")]
    reinstalling = reinstall_every_test(workload, fleet)
    assert (reinstalling.ends_s, reinstalling.installs) == ([30, 70], 4)  # 0-30 | 0-15, 15-30; then 30-70
    skipping = skip_install_if_present(workload, fleet)
    assert (skipping.ends_s, skipping.installs) == ([30, 61], 3)  # 0-30 | 0-15, 15-21; then v2 at 21-61
    knowing = longest_first([run(5, 20, 5), run(40, build="v2")], fleet)
    assert (knowing.ends_s, knowing.installs) == ([42, 50], 2)  # v2 at 0-50 | 0-30, 30-36, 36-42
    grouped = one_device_per_group(workload, fleet)
    assert (grouped.ends_s, grouped.installs) == ([42, 40], 2)  # 10 + 20 + 1 + 5 + 1 + 5
    assert [round(schedule.device_s) for schedule in (reinstalling, skipping, grouped)] == [100, 91, 82]


@pytest.mark.parametrize("name", SETS)
def test_drawn_durations_have_the_deciles_and_about_the_mean_of_their_source(name: str) -> None:
    durations, random = SETS[name], Random(1)
    drawn = sorted(durations.suite(random, 20_000))
    assert sum(drawn) / len(drawn) == pytest.approx(durations.mean_s, rel=0.08)
    assert drawn[10_000] == pytest.approx(durations.deciles_s[5], rel=0.03)
    assert durations.deciles_s[0] <= drawn[0] <= drawn[-1] <= durations.deciles_s[10]


def test_arrivals_load_the_devices_as_asked() -> None:
    mix = Mix(SETS["datahub"], 1.0, ("small",), 2000, 3, 0.15, 0.5)
    workload = draw(mix, 4, Random(1))
    work_s = sum(test.duration_s for one in workload for test in one.tests)
    assert work_s / (4 * workload[-1].at_s) == pytest.approx(0.5, rel=0.1)


def test_no_drawn_test_takes_longer_than_a_job_may() -> None:
    mix = Mix(SETS["metamask-android"], 100.0, ("large",), 12, 3, 2.0, None)
    workload = draw(mix, 4, Random(1))
    (before,) = earlier(workload, Random(1), noise=2.0, runs=1)
    for drawn in (workload, before):
        assert max(test.duration_s for submission in drawn for test in submission.tests) == 86_400


def test_arrivals_over_more_than_a_year_are_refused() -> None:
    mix = Mix(SETS["metamask-android"], 100.0, ("large",), 12, 3, 0.15, 0.001)
    with pytest.raises(BadWorkload, match="more than a year; choose a larger --load"):
        draw(mix, 4, Random(1))


def recorded(**said: Any) -> dict[str, Any]:
    return {"at_s": 0, "org_id": "acme", "app_version_id": "v1", "test_path": "a.js", "duration_s": 1} | said


def test_a_recorded_workload_is_read_from_csv_and_json(tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = [
        {"at_s": 9, "org_id": "acme", "app_version_id": "v2", "test_path": "a.js", "duration_s": 3.5},
        {"at_s": 0, "org_id": "acme", "app_version_id": "v1", "test_path": "a.js", "duration_s": 1, "target": "device"},
        {"at_s": 0, "org_id": "acme", "app_version_id": "v1", "test_path": "b.js", "duration_s": 2, "priority": "high"},
    ]
    (tmp_path / "w.json").write_text(json.dumps(lines))
    columns = ("at_s", "org_id", "app_version_id", "target", "test_path", "duration_s", "priority")
    rows = [",".join(str(line.get(name, "")) for name in columns) for line in lines]
    (tmp_path / "w.csv").write_text("\n".join([",".join(columns), *rows]))
    expected = [
        Submission(0, "acme", "v1", (Spec("a.js", "device", 1), Spec("b.js", "emulator", 2, "high"))),
        Submission(9, "acme", "v2", (Spec("a.js", "emulator", 3.5),)),
    ]
    assert read(tmp_path / "w.json") == read(tmp_path / "w.csv") == expected


def test_what_a_database_remembers_can_be_exported_and_replayed(engine: Engine, tmp_path: Path) -> None:
    driver = engine.drive()
    odd = "c\u2028d.js"  # a line ends there for some, and not for CSV
    engine.submit("a.js", {"test_path": "b.js", "priority": "high"}, odd)
    while batch := engine.claim(driver):
        for job in batch.jobs:
            engine.start(batch.lease, job["job_id"])
            engine.move_clock(7)
            engine.finish(batch.lease, job["job_id"])
        engine.call("release_batch", lease=batch.lease)
    query = b"""copy (
        select extract(epoch from created_at - min(created_at) over ()) as at_s, org_id, app_version_id, target,
          test_path, duration_s, priority
        from reporting.jobs where status = 'completed' order by created_at
    ) to stdout csv header"""
    with (tmp_path / "w.csv").open("wb") as file, engine.connection.cursor().copy(query) as copy:
        file.writelines(copy)
    (submission,) = read(tmp_path / "w.csv")
    assert sorted((spec.path, spec.priority) for spec in submission.tests) == [
        ("a.js", "normal"), ("b.js", "high"), (odd, "normal")]  # fmt: skip
    assert sum(spec.duration_s for spec in submission.tests) == pytest.approx(21, abs=2)


def test_seconds_since_1970_count_from_the_first_submission(tmp_path: Path) -> None:
    times = (1_700_000_060, 1_700_000_000, 1_700_000_000 + LONGEST_S)
    (tmp_path / "w.json").write_text(json.dumps([recorded(at_s=at_s) for at_s in times]))
    assert [submission.at_s for submission in read(tmp_path / "w.json")] == [0, 60, LONGEST_S]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[]", "at least one test"),
        ("[" * 100_000, "not a recorded workload: it is nested too deeply"),
        (json.dumps([recorded(), recorded(org_id="a\0")]), "test 2: org_id holds a NUL"),
        (json.dumps([recorded(), recorded(target="\ud800")]), "test 2: target holds .* half of a surrogate pair"),
        (json.dumps([recorded(test_path=513 * "a")]), "test 1: Expected `str` of length <= 512 .*test_path"),
        (json.dumps([recorded(at_s=1e400)]), "test 1: at_s is 0 or more"),
        (json.dumps([recorded(), recorded(at_s=LONGEST_S + 1)]), "test 2: at_s, .* more than a year"),
        (json.dumps([recorded()] * (MAX_JOBS_PER_RUN + 1)), "test 10001: more than 10000 tests have its at_s"),
        ("{", "not a recorded workload"),
        ("[1]", "not a recorded workload"),
        ('[{"at_s": 0}]', "test 1: .*org_id"),
        ('[{"at_s": 0, "org_id": "a", "app_version_id": "v", "test_path": "t", "duration_s": 0}]', "duration_s more"),
        ('[{"at_s": "x", "org_id": "a", "app_version_id": "v", "test_path": "t", "duration_s": 1}]', "at_s"),
    ],
)
def test_a_workload_that_cannot_be_replayed_is_refused_by_its_line(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "w.json").write_text(text)
    with pytest.raises(BadWorkload, match=complaint):
        read(tmp_path / "w.json")


def test_the_command_answers_with_one_document() -> None:
    options = ["--sizes=small", "--groups=2", "--devices=2", "--durations=datahub", "--history=0", "--timeline"]
    result = qgjob("replay", *options, "--json")
    assert result.exit == 0, result.stderr
    document = json.loads(result.stdout)
    assert document["schema"] == "qgjob.replay/v1"
    schedulers = [row["scheduler"] for row in document["data"]["rows"]]
    assert schedulers == ["qgjob, tests never seen", *BASELINES]
    assert all(row["over_bound"] >= 1 for row in document["data"]["rows"])
    assert document["data"]["timeline"]


def test_a_comparison_is_what_can_be_reckoned_by_hand(tmp_path: Path, template_url: str) -> None:
    """Two tests of 10 s on one device, where an installation takes 40 s and a reset 3 s."""
    lines = [recorded(test_path=path, duration_s=10) for path in ("a.js", "b.js")]
    (tmp_path / "w.json").write_text(json.dumps(lines))
    plan = plan_of("workload", workload=str(tmp_path / "w.json"), devices=1, history=(0,), noise=0.0)
    ours, reinstalling = comparison.compare(plan, template_url, lambda _: None).rows[:2]
    assert (ours.makespan_s, ours.installs, ours.over_bound) == (pytest.approx(40 + 10 + 3 + 10), 1, pytest.approx(1))
    assert (reinstalling.scheduler, reinstalling.makespan_s, reinstalling.installs) == ("reinstall every test", 100, 2)
    assert (ours.device_minutes, reinstalling.device_minutes) == (pytest.approx(63 / 60), pytest.approx(100 / 60))
    assert ours.device_minutes_saved == ours.feedback_saved == pytest.approx(0.37)
    assert reinstalling.device_minutes_saved == reinstalling.feedback_saved == 0


def test_devices_that_were_never_used_do_not_count_as_idle(tmp_path: Path, template_url: str) -> None:
    (tmp_path / "w.json").write_text(json.dumps([recorded()]))
    plan = plan_of("workload", workload=str(tmp_path / "w.json"), devices=8)
    found = comparison.compare(plan, template_url, lambda _: None)
    assert [row.busy for row in found.rows] == pytest.approx([1.0] * len(found.rows))
    assert "devices that were never used do not" in comparison.text(found)


def test_batch_instances_are_judged_against_the_bar(template_url: str) -> None:
    plan = plan_of("batch-instances", seeds=2, groups=2, sizes=("small",))
    judged = batch_instances.judge(plan, template_url, lambda _: None)
    assert [one.scheduler for one in judged.judged] == ["qgjob, tests seen once", *BASELINES]
    assert min(min(one.over_bound.values()) for one in judged.worst["datahub"]) >= 1
    alone = plan_of("batch-instances", seed=judged.worst["datahub"][0].seed, groups=2, sizes=("small",))
    assert batch_instances.judge(alone, template_url, lambda _: None).worst["datahub"][0] == judged.worst["datahub"][0]
    assert "WITHIN-1.10" in batch_instances.text(judged)


def test_the_table_of_savings_names_the_command_that_made_it(
    template_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(savings, "SCENARIOS", (("datahub", 1.0, 40.0),))
    monkeypatch.setattr(savings, "DEVICES", (1,))
    table = savings.markdown(savings.measure(plan_of("savings"), template_url, lambda _: None))
    row = table.splitlines()[2].split("|")
    assert [cell.strip() for cell in row[2:4]] == ["40 s", "1"]
    small, large = row[4].split("/"), row[6].split("/")
    assert small[0].strip() == small[1].strip() == small[2].strip()  # one device: no difference
    assert 20 < int(small[0].split()[0]) <= int(large[0].split()[0]) + 5 < 65
    assert "`qgjob replay --savings --seed=1 --seeds=1`" in table


def test_a_workload_that_is_refused_ends_the_process_with_2(tmp_path: Path, template_url: str) -> None:
    (tmp_path / "w.csv").write_text("at_s,org_id\n0,acme\n")
    plan = msgspec.structs.replace(plan_of("workload"), workload=str(tmp_path / "w.csv"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QGJOB_DATABASE_URL", template_url)
        assert main(plan, tmp_path / "report") == 2
    assert "w.csv, test 1: Object missing required field" in (tmp_path / "report").read_text()


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ({"org_id": "no such/name"}, "org_id is 1 to 128 letters, digits"),
        ({"app_version_id": "-v1"}, "app_version_id is 1 to 128 letters, digits"),
        ({"test_path": "/etc/x"}, "test_path is a relative path inside the project"),
    ],
)
def test_the_rules_of_the_database_are_told_by_the_line_before_anything_is_replayed(
    tmp_path: Path, template_url: str, said: dict[str, Any], complaint: str
) -> None:
    (tmp_path / "w.json").write_text(json.dumps([recorded(), recorded(**said)]))
    plan = msgspec.structs.replace(plan_of("workload"), workload=str(tmp_path / "w.json"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QGJOB_DATABASE_URL", template_url)
        assert main(plan, tmp_path / "report") == 2
    assert f"w.json, test 2: {complaint}" in (tmp_path / "report").read_text()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--sizes=huge"], "--sizes takes some of small, medium, large, not 'huge'"),
        (["--load=0.5", "--batch"], "--load leaves nothing to choose for --batch"),
        (["--batch-instances=2", "--savings"], "--savings leaves nothing to choose for --batch-instances"),
        ([f"--workload={__file__}", "--groups=3"], "--workload leaves nothing to choose for --groups"),
        (["--scale=nan"], "'--scale': Input should be less than or equal to 100"),
        (["--scale=0"], "'--scale': Input should be greater than or equal to 0.001"),
        (["--noise=8"], "'--noise': Input should be less than or equal to 2"),
        (["--load=0.000001"], "'--load': Input should be greater than or equal to 0.001"),
        (["--durations=mine"], "--durations"),
        (["--workload=/nowhere/w.csv"], "'/nowhere/w.csv' does not exist"),
    ],
)
def test_options_that_mean_nothing_are_refused_in_words(options: list[str], complaint: str) -> None:
    result = qgjob("replay", *options)
    assert (result.exit, result.stdout) == (2, "")
    assert complaint in result.stderr
