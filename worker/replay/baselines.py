"""What simple schedulers make of the same workload: in Python, because none of them needs a database."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from qgjob.models.words import Target
from worker.replay.schedule import Fleet, Schedule, Stay
from worker.replay.workload import Submission, Workload, targets

Build = tuple[str, str]


@dataclass
class Device:
    name: str
    free_s: float = 0.0
    build: Build | None = None


def reinstall_every_test(workload: Workload, fleet: Fleet) -> Schedule:
    """First come, first served; every test installs its build, as stock AppWright does."""
    return _test_by_test(workload, fleet, keep=False)


def skip_install_if_present(workload: Workload, fleet: Fleet) -> Schedule:
    """First come, first served; of the free devices, one that has the build is taken and spared the install."""
    return _test_by_test(workload, fleet, keep=True)


def longest_first(workload: Workload, fleet: Fleet) -> Schedule:
    """As skip_install_if_present, but of what comes at once the biggest submission goes first, and in each the longest
    test: it knows beforehand how long each will take."""
    order = sorted(range(len(workload)), key=lambda place: -sum(test.duration_s for test in workload[place].tests))
    longest = [
        replace(workload[place], tests=tuple(sorted(workload[place].tests, key=lambda test: -test.duration_s)))
        for place in order
    ]
    schedule = skip_install_if_present(longest, fleet)
    return replace(schedule, ends_s=[end_s for _, end_s in sorted(zip(order, schedule.ends_s, strict=True))])


def one_device_per_group(workload: Workload, fleet: Fleet) -> Schedule:
    """A submission's tests of a target all run on the device that is free first."""
    schedule = Schedule([0.0] * len(workload))
    for place, submission, target, devices in _in_order(workload, fleet):
        durations = [test.duration_s for test in submission.tests if test.target == target]
        _occupy(schedule, devices, submission, place, durations, fleet, keep=True)
    return schedule


def _test_by_test(workload: Workload, fleet: Fleet, *, keep: bool) -> Schedule:
    schedule = Schedule([0.0] * len(workload))
    for place, submission, target, devices in _in_order(workload, fleet):
        for test in submission.tests:
            if test.target == target:
                _occupy(schedule, devices, submission, place, [test.duration_s], fleet, keep=keep)
    return schedule


def _in_order(workload: Workload, fleet: Fleet) -> Iterator[tuple[int, Submission, Target, list[Device]]]:
    fleets: Mapping[Target, list[Device]] = {
        target: [Device(f"{target}-{number}") for number in range(1, fleet.devices + 1)] for target in targets(workload)
    }
    for place in sorted(range(len(workload)), key=lambda place: workload[place].at_s):
        for target, devices in fleets.items():
            yield place, workload[place], target, devices


def _occupy(
    schedule: Schedule,
    devices: list[Device],
    submission: Submission,
    place: int,
    durations: list[float],
    fleet: Fleet,
    *,
    keep: bool,
) -> None:
    if not durations:
        return
    build = submission.org_id, submission.app_version_id
    start_s = max(submission.at_s, min(device.free_s for device in devices))
    free = [device for device in devices if device.free_s <= start_s]
    device = next((device for device in free if keep and device.build == build), free[0])
    installs = not (keep and device.build == build)
    first_s = fleet.install_s if installs else fleet.reset_s
    end_s = start_s + first_s + sum(durations) + fleet.reset_s * (len(durations) - 1)
    device.free_s, device.build = end_s, build
    schedule.ends_s[place] = max(schedule.ends_s[place], end_s)
    schedule.stays.append(Stay(device.name, *build, installs, len(durations), start_s, end_s))


BASELINES: Mapping[str, Callable[[Workload, Fleet], Schedule]] = {
    "reinstall every test": reinstall_every_test,
    "skip install if present": skip_install_if_present,
    "the same, longest first": longest_first,
    "one device per group": one_device_per_group,
}
