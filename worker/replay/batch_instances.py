"""The report for whoever tunes the scheduler: makespan over the lower bound, on many small instances all at once.

Instance n of seed s is instance 1 of seed s + n - 1, so a bad one can be replayed alone.
"""

from random import Random
from statistics import fmean

import msgspec

from qgjob.cli import output
from qgjob.replay import Plan
from worker.replay.durations import SETS
from worker.replay.schedule import Fleet, lower_bound_s, makespan_s
from worker.replay.synthetic import Mix, draw
from worker.replay.trial import Say, compared

BAR = 1.10
GROUPS = 3, 12
DEVICES = 4, 8
WORST = 3


class Instance(msgspec.Struct):
    seed: int
    devices: int
    groups: list[int]
    bound_s: float
    over_bound: dict[str, float]
    installs: dict[str, int]


class Judged(msgspec.Struct):
    """One scheduler on one duration set."""

    durations: str
    scheduler: str
    mean: float
    worst: float
    within_bar: float
    installs_per_group: float


class BatchInstances(msgspec.Struct):
    instances: int
    install_s: float
    reset_s: float
    bar: float
    judged: list[Judged]
    worst: dict[str, list[Instance]]


def judge(plan: Plan, url: str, say: Say) -> BatchInstances:
    judged: list[Judged] = []
    worst: dict[str, list[Instance]] = {}
    for durations in plan.durations:
        found: list[Instance] = []
        for number in range(plan.seeds):
            found.append(instance(plan, durations, plan.seed + number, url))
            ours = ", ".join(f"{value:.3f}" for value in list(found[-1].over_bound.values())[: len(plan.history)])
            say(f"{durations} {number + 1} of {plan.seeds}: {ours}")
        first = next(iter(found[0].over_bound))
        judged += [verdict(durations, scheduler, found) for scheduler in found[0].over_bound]
        worst[durations] = sorted(found, key=lambda one: one.over_bound[first], reverse=True)[:WORST]
    return BatchInstances(plan.seeds, plan.install_s, plan.reset_s, BAR, judged, worst)


def instance(plan: Plan, durations: str, seed: int, url: str) -> Instance:
    random = Random(seed)  # noqa: S311
    groups, devices = random.randint(*GROUPS), random.randint(*DEVICES)
    fleet = Fleet(plan.devices or devices, plan.install_s, plan.reset_s)
    mix = Mix(SETS[durations], plan.scale, plan.sizes, plan.groups or groups, plan.orgs, plan.noise, None)
    workload = draw(mix, fleet.devices, random)
    bound_s = lower_bound_s(workload, fleet)
    schedules = compared(url, workload, fleet, seed=seed, noise=plan.noise, history=plan.history)
    return Instance(
        seed,
        fleet.devices,
        [len(submission.tests) for submission in workload],
        bound_s,
        {name: makespan_s(schedule, workload) / bound_s for name, schedule in schedules.items()},
        {name: schedule.installs for name, schedule in schedules.items()},
    )


def verdict(durations: str, scheduler: str, found: list[Instance]) -> Judged:
    ratios = [one.over_bound[scheduler] for one in found]
    return Judged(
        durations,
        scheduler,
        fmean(ratios),
        max(ratios),
        sum(ratio <= BAR for ratio in ratios) / len(ratios),
        sum(one.installs[scheduler] for one in found) / sum(len(one.groups) for one in found),
    )


def text(found: BatchInstances) -> str:
    rows = [
        (one.durations, one.scheduler, f"{one.mean:.3f}", f"{one.worst:.3f}", f"{one.within_bar:.0%}",
         f"{one.installs_per_group:.1f}")
        for one in found.judged
    ]  # fmt: skip
    worst = [
        (durations, str(one.seed), f"{next(iter(one.over_bound.values())):.3f}", str(one.devices),
         ",".join(map(str, one.groups)))
        for durations, instances in found.worst.items()
        for one in instances
    ]  # fmt: skip
    return "\n".join(
        [
            f"Makespan over its lower bound; {found.instances} instances, install {found.install_s:g} s, "
            f"reset {found.reset_s:g} s. The bar: a mean of at most {found.bar:.2f}.",
            "",
            output.table(f"DURATIONS SCHEDULER MEAN WORST WITHIN-{found.bar:.2f} INSTALLS/GROUP", rows),
            "",
            "The worst (again alone: --batch-instances=1 --seed=SEED):",
            output.table("DURATIONS SEED /BOUND DEVICES TESTS", worst),
        ]
    )
