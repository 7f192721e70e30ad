"""The table of savings for the README: one submission alone on idle devices, against reinstalling for every test."""

from random import Random
from statistics import fmean

import msgspec

from qgjob.replay import Plan
from worker.replay.baselines import reinstall_every_test
from worker.replay.durations import SETS
from worker.replay.schedule import Fleet, feedback_s
from worker.replay.synthetic import SIZES, Mix, draw
from worker.replay.trial import Say, replayed

# Durations, their factor, seconds of an install.
SCENARIOS = (
    ("metamask-android", 1.0, 15.0),
    ("metamask-android", 1.0, 40.0),
    ("datahub", 1.0, 40.0),
    ("datahub", 0.27, 40.0),
)
DEVICES = (1, 4, 8)
HEADINGS = {"small": "5-10", "medium": "20-50", "large": "100-150"}


class Saved(msgspec.Struct):
    """Shares. `against_one`: of the feedback time of a single device that reinstalls."""

    durations: str
    scale: float
    install_s: float
    size: str
    devices: int
    test_mean_s: float
    installs: float
    device_minutes: float
    feedback: float
    against_one: float


class Savings(msgspec.Struct):
    command: str
    reset_s: float
    rows: list[Saved]


def measure(plan: Plan, url: str, say: Say) -> Savings:
    rows: list[Saved] = []
    for durations, scale, install_s in SCENARIOS:
        for size in SIZES:
            for devices in DEVICES:
                rows.append(saved(plan, url, durations, scale, install_s, size, devices))
                what = f"{durations} x {scale:g}, install {install_s:g} s, {size}, {devices} devices"
                say(f"{what}: {rows[-1].device_minutes:.0%} of device time, {rows[-1].feedback:.0%} of feedback time")
    return Savings(f"qgjob replay --savings --seed={plan.seed} --seeds={plan.seeds}", plan.reset_s, rows)


def saved(plan: Plan, url: str, durations: str, scale: float, install_s: float, size: str, devices: int) -> Saved:
    fleet = Fleet(devices, install_s, plan.reset_s)
    mix = Mix(SETS[durations], scale, (size,), 1, 1, plan.noise, None)
    tests: list[float] = []
    ours: list[tuple[float, ...]] = []
    theirs: list[tuple[float, ...]] = []
    alone: list[float] = []
    installs: list[int] = []
    for seed in range(plan.seed, plan.seed + plan.seeds):
        workload = draw(mix, devices, Random(seed))  # noqa: S311
        tests += [test.duration_s for submission in workload for test in submission.tests]
        schedule = replayed(url, workload, fleet, seed=seed, noise=plan.noise, history=plan.history[0])
        baseline = reinstall_every_test(workload, fleet)
        installs.append(schedule.installs)
        ours.append((schedule.device_s, *feedback_s(schedule, workload)))
        theirs.append((baseline.device_s, *feedback_s(baseline, workload)))
        alone += feedback_s(reinstall_every_test(workload, Fleet(1, install_s, plan.reset_s)), workload)
    device_s, feedback = (fmean(values) for values in zip(*ours, strict=True))
    their_device_s, their_feedback = (fmean(values) for values in zip(*theirs, strict=True))
    return Saved(
        durations, scale, install_s, size, devices, fmean(tests), fmean(installs),
        1 - device_s / their_device_s, 1 - feedback / their_feedback, 1 - feedback / fmean(alone),
    )  # fmt: skip


def markdown(found: Savings) -> str:
    lines = [
        "| a test takes | an install | devices | " + " | ".join(f"{name} tests" for name in HEADINGS.values()) + " |",
        "|" + "-|" * (3 + len(HEADINGS)),
    ]
    scenarios = dict.fromkeys((one.durations, one.scale, one.install_s, one.devices) for one in found.rows)
    for durations, scale, install_s, devices in scenarios:
        rows = [
            one for one in found.rows
            if (one.durations, one.scale, one.install_s, one.devices) == (durations, scale, install_s, devices)
        ]  # fmt: skip
        mean_s = fmean(one.test_mean_s for one in rows)
        cells = " | ".join(
            f"{one.device_minutes:.0%} / {one.feedback:.0%} / {one.against_one:.0%}".replace("%", " %") for one in rows
        )
        lines.append(f"| {mean_s:.0f} s | {install_s:g} s | {devices} | {cells} |")
    lines += [
        "",
        "Device-minutes saved / feedback time saved, both against reinstalling for every test on as many devices / "
        f"feedback time saved against one device that reinstalls. A reset takes {found.reset_s:g} s.",
        f"Made by `{found.command}`.",
    ]
    return "\n".join(lines)
