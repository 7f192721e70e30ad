"""What came out: when each submission was done, what the devices did meanwhile, and how good that could have been."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from qgjob.models.words import Target
from worker.replay.workload import Submission, Workload, targets


@dataclass(frozen=True)
class Fleet:
    """`devices` of each target; `install_s` to install a build, `reset_s` between two tests on one installation."""

    devices: int
    install_s: float
    reset_s: float


@dataclass(frozen=True)
class Stay:
    """What one device did with one batch: tests of one build."""

    device: str
    org_id: str
    app_version_id: str
    installed: bool
    tests: int
    start_s: float
    end_s: float


@dataclass
class Schedule:
    """`ends_s`: when the last test of each submission ended, by its place in the workload."""

    ends_s: list[float]
    stays: list[Stay] = field(default_factory=list[Stay])

    @property
    def device_s(self) -> float:
        return sum(stay.end_s - stay.start_s for stay in self.stays)

    @property
    def installs(self) -> int:
        return sum(stay.installed for stay in self.stays)


def makespan_s(schedule: Schedule, workload: Workload) -> float:
    return max(schedule.ends_s) - min(submission.at_s for submission in workload)


def feedback_s(schedule: Schedule, workload: Workload) -> list[float]:
    """From submitting to the end of the last test, for each submission."""
    return [end_s - submission.at_s for end_s, submission in zip(schedule.ends_s, workload, strict=True)]


def lower_bound_s(workload: Workload, fleet: Fleet) -> float:
    """No schedule on empty devices has a smaller makespan. The largest of, for every target:

    - tests + installs + resets, evenly over the devices, with the fewest installs there can be: one for each build, and
      one for each device that is used at all (using fewer devices would take longer still);
    - the same for what arrives from some moment on, with one install for each build that is new then;
    - each test behind its install, if its build is new, or else behind a reset.
    """
    first_s = min(submission.at_s for submission in workload)
    return max(_bound_s(_of_target(workload, target), fleet) for target in targets(workload)) - first_s


Arrival = tuple[float, tuple[str, str], Sequence[float]]


def _of_target(workload: Workload, target: Target) -> list[Arrival]:
    """When, which build, and the durations, in the order of arrival."""
    found = [
        (one.at_s, (one.org_id, one.app_version_id), [test.duration_s for test in one.tests if test.target == target])
        for one in workload
    ]
    return sorted((one for one in found if one[2]), key=lambda one: one[0])


def _bound_s(arrivals: Sequence[Arrival], fleet: Fleet) -> float:
    # Where installing is quicker than a reset, only installs count.
    between_s = min(fleet.install_s, fleet.reset_s)
    since: dict[tuple[str, str], float] = {}
    for at_s, build, _ in arrivals:
        since.setdefault(build, at_s)
    tests = sum(len(durations) for _, _, durations in arrivals)
    cold = max(len(since), min(fleet.devices, tests)) - len(since)
    bound_s = 0.0
    work_s = 0.0
    for at_s, build, durations in reversed(arrivals):
        is_new = since[build] == at_s
        first_s = fleet.install_s if is_new else between_s
        bound_s = max(bound_s, at_s + first_s + max(durations))
        work_s += sum(durations) + between_s * len(durations)
        if is_new:
            work_s += fleet.install_s - between_s
            since[build] = -1.0  # counted
        bound_s = max(bound_s, at_s + work_s / fleet.devices)
    work_s += cold * (fleet.install_s - between_s)
    return max(bound_s, arrivals[0][0] + work_s / fleet.devices)


def size_of(submission: Submission) -> str:
    tests = len(submission.tests)
    return "small" if tests <= 10 else "medium" if tests <= 50 else "large"


def by_size(values: Sequence[float], workload: Workload) -> Mapping[str, list[float]]:
    """The values of the submissions in classes: to 10 tests, to 50, above."""
    classes: dict[str, list[float]] = {"small": [], "medium": [], "large": []}
    for value, submission in zip(values, workload, strict=True):
        classes[size_of(submission)].append(value)
    return {name: found for name, found in classes.items() if found}
