"""Workloads drawn from distributions. The same seed draws the same workload."""

from dataclasses import dataclass
from random import Random

from worker.replay.durations import Durations
from worker.replay.workload import LONGEST_S, BadWorkload, Spec, Submission, Workload, varied

# Tests in a submission, and how many of ten submissions are like that.
SIZES = {"small": (5, 10, 6), "medium": (20, 50, 3), "large": (100, 150, 1)}
SUITE = max(high for _, high, _ in SIZES.values())


@dataclass(frozen=True)
class Mix:
    """`load` is the share of the devices' time that the tests alone take; None submits everything at once."""

    durations: Durations
    scale: float
    sizes: tuple[str, ...]
    groups: int
    orgs: int
    noise: float
    load: float | None


def draw(mix: Mix, devices: int, random: Random) -> Workload:
    """Every organisation has one suite; each submission is a part of it on a new build."""
    suites = {
        f"org-{number}": [usual_s * mix.scale for usual_s in mix.durations.suite(random, SUITE)]
        for number in range(1, min(mix.orgs, mix.groups) + 1)
    }
    drawn: list[Submission] = []
    for number in range(1, mix.groups + 1):
        org_id = random.choice(list(suites))
        suite = suites[org_id]
        (size,) = random.choices(mix.sizes, [SIZES[name][2] for name in mix.sizes])
        low, high, _ = SIZES[size]
        chosen = sorted(random.sample(range(SUITE), random.randint(low, high)))
        tests = tuple(
            Spec(f"tests/spec-{place:03}.spec.ts", "emulator", varied(suite[place], random, mix.noise))
            for place in chosen
        )
        drawn.append(Submission(0.0, org_id, f"build-{number}", tests))
    return drawn if mix.load is None else arriving(drawn, mix.load, devices, random)


def arriving(drawn: Workload, load: float, devices: int, random: Random) -> Workload:
    """Poisson arrivals, at a rate that makes the tests alone take `load` of the devices' time."""
    work_s = sum(test.duration_s for submission in drawn for test in submission.tests)
    every_s = work_s / len(drawn) / (load * devices)
    at_s = 0.0
    arrived: list[Submission] = []
    for submission in drawn:
        arrived.append(Submission(at_s, submission.org_id, submission.app_version_id, submission.tests))
        at_s += random.expovariate(1 / every_s)
    if arrived[-1].at_s > LONGEST_S:
        raise BadWorkload(
            "at this load the submissions arrive over more than a year; choose a larger --load or fewer --groups"
        )
    return arrived
