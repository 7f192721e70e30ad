"""The report on one kind of workload: every scheduler side by side, over all seeds."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import fmean, quantiles

import msgspec

from qgjob.cli import output
from qgjob.replay import Plan
from worker.replay.durations import SETS
from worker.replay.schedule import Fleet, Schedule, by_size, feedback_s, lower_bound_s, makespan_s
from worker.replay.synthetic import Mix, draw
from worker.replay.trial import Say, compared
from worker.replay.workload import Workload, read

DEVICES = 8
GROUPS = 12
REINSTALL = "reinstall every test"


class Feedback(msgspec.Struct):
    """Seconds from a submission to the end of its last test."""

    submissions: int
    mean_s: float
    p50_s: float
    p95_s: float


class Row(msgspec.Struct):
    """One scheduler. Means over the workloads; feedback by size, over all their submissions."""

    scheduler: str
    makespan_s: float
    over_bound: float
    over_bound_worst: float
    device_minutes: float
    installs: float
    busy: float
    device_minutes_saved: float
    feedback_saved: float
    feedback: dict[str, Feedback]


class StayShown(msgspec.Struct):
    device: str
    start_s: float
    end_s: float
    group: str
    installed: bool
    tests: int


class Comparison(msgspec.Struct):
    workloads: int
    submissions: int
    tests: int
    test_mean_s: float
    devices: int
    install_s: float
    reset_s: float
    lower_bound_s: float
    rows: list[Row]
    timeline: list[StayShown] | None = None


@dataclass
class Measured:
    """What one scheduler did, a value for each workload."""

    makespans_s: list[float] = field(default_factory=list[float])
    over_bound: list[float] = field(default_factory=list[float])
    device_s: list[float] = field(default_factory=list[float])
    installs: list[int] = field(default_factory=list[int])
    busy: list[float] = field(default_factory=list[float])
    feedback_s: dict[str, list[float]] = field(default_factory=dict[str, list[float]])

    def add(self, schedule: Schedule, workload: Workload, bound_s: float) -> None:
        span_s = makespan_s(schedule, workload)
        self.makespans_s.append(span_s)
        self.over_bound.append(span_s / bound_s)
        self.device_s.append(schedule.device_s)
        self.installs.append(schedule.installs)
        self.busy.append(schedule.device_s / (span_s * len({stay.device for stay in schedule.stays} or {0})))
        for size, values in by_size(feedback_s(schedule, workload), workload).items():
            self.feedback_s.setdefault(size, []).extend(values)

    @property
    def all_feedback_s(self) -> list[float]:
        return [value for values in self.feedback_s.values() for value in values]


def compare(plan: Plan, url: str, say: Say) -> Comparison:
    fleet = Fleet(plan.devices or DEVICES, plan.install_s, plan.reset_s)
    measured: dict[str, Measured] = {}
    bounds_s: list[float] = []
    tests: list[float] = []
    submissions = 0
    timeline: list[StayShown] | None = None
    for number in range(plan.seeds):
        seed = plan.seed + number
        workload = workload_of(plan, fleet, seed)
        say(f"workload {number + 1} of {plan.seeds}: {sum(len(one.tests) for one in workload)} tests")
        bounds_s.append(lower_bound_s(workload, fleet))
        submissions += len(workload)
        tests += [test.duration_s for submission in workload for test in submission.tests]
        schedules = compared(url, workload, fleet, seed=seed, noise=plan.noise, history=plan.history)
        for name, schedule in schedules.items():
            measured.setdefault(name, Measured()).add(schedule, workload, bounds_s[-1])
        if plan.timeline and timeline is None:
            timeline = shown(next(iter(schedules.values())))
    rows = [row(name, found, measured[REINSTALL]) for name, found in measured.items()]
    return Comparison(
        plan.seeds, submissions, len(tests), fmean(tests), fleet.devices, fleet.install_s, fleet.reset_s,
        fmean(bounds_s), rows, timeline,
    )  # fmt: skip


def workload_of(plan: Plan, fleet: Fleet, seed: int) -> Workload:
    if plan.workload is not None:
        return read(Path(plan.workload))
    mix = Mix(SETS[plan.durations[0]], plan.scale, plan.sizes, plan.groups or GROUPS, plan.orgs, plan.noise, plan.load)
    return draw(mix, fleet.devices, Random(seed))  # noqa: S311


def row(name: str, found: Measured, reinstalling: Measured) -> Row:
    return Row(
        name,
        fmean(found.makespans_s),
        fmean(found.over_bound),
        max(found.over_bound),
        fmean(found.device_s) / 60,
        fmean(found.installs),
        fmean(found.busy),
        1 - fmean(found.device_s) / fmean(reinstalling.device_s),
        1 - fmean(found.all_feedback_s) / fmean(reinstalling.all_feedback_s),
        {
            size: feedback(values)
            for size, values in sorted(found.feedback_s.items(), key=lambda item: item[0], reverse=True)
        },
    )


def feedback(values: Sequence[float]) -> Feedback:
    cuts = quantiles(values, n=20, method="inclusive") if len(values) > 1 else [values[0]] * 19
    return Feedback(len(values), fmean(values), cuts[9], cuts[18])


def shown(schedule: Schedule) -> list[StayShown]:
    return [
        StayShown(
            stay.device, stay.start_s, stay.end_s, f"{stay.org_id}/{stay.app_version_id}", stay.installed, stay.tests
        )
        for stay in sorted(schedule.stays, key=lambda stay: (stay.start_s, stay.device))
    ]


def text(found: Comparison) -> str:
    several = f"{found.workloads} workloads together" if found.workloads > 1 else "one workload"
    lines = [
        f"{found.submissions} submissions with {found.tests} tests of {found.test_mean_s:.0f} s on average, {several}; "
        f"{found.devices} devices, install {found.install_s:g} s, reset {found.reset_s:g} s",
        f"lower bound of the makespan: {found.lower_bound_s:.0f} s",
        "",
    ]
    sizes = list(found.rows[0].feedback)
    headings = "SCHEDULER MAKESPAN /BOUND DEVICE-MIN SAVED INSTALLS BUSY FEEDBACK-SAVED"
    headings += "".join(f" {size.upper()}-P50 {size.upper()}-P95" for size in sizes)
    lines.append(output.table(headings, [cells(row, sizes) for row in found.rows]))
    lines += ["", f"Saved: compared with '{REINSTALL}'. Feedback: seconds from a submission to its last result."]
    lines.append("Busy: installs and resets count, too; devices that were never used do not.")
    if found.timeline is not None:
        stays = [
            (stay.device, f"{stay.start_s:.0f}", f"{stay.end_s:.0f}", stay.group, "yes" if stay.installed else "no",
             str(stay.tests))
            for stay in found.timeline
        ]  # fmt: skip
        lines += ["", output.table("DEVICE FROM TO GROUP INSTALL TESTS", stays)]
    return "\n".join(lines)


def cells(row: Row, sizes: Sequence[str]) -> list[str]:
    found = [
        row.scheduler, f"{row.makespan_s:.0f}", f"{row.over_bound:.2f}", f"{row.device_minutes:.1f}",
        f"{row.device_minutes_saved:.0%}", f"{row.installs:.0f}", f"{row.busy:.0%}", f"{row.feedback_saved:.0%}",
    ]  # fmt: skip
    for size in sizes:
        found += [f"{row.feedback[size].p50_s:.0f}", f"{row.feedback[size].p95_s:.0f}"]
    return found
