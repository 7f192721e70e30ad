"""How long real end-to-end spec files take: deciles of three public duration sets."""

from dataclasses import dataclass
from itertools import pairwise
from random import Random


@dataclass(frozen=True)
class Durations:
    """`deciles_s` are the quantiles 0, 10, …, 100 %; between them the logarithm is taken as linear."""

    name: str
    source: str
    tests: int
    mean_s: float
    deciles_s: tuple[float, ...]
    lognormal: tuple[float, float]

    def suite(self, random: Random, tests: int) -> list[float]:
        """One test from each of equal parts of the distribution, shuffled: every suite has its mean and its tail."""
        drawn = [self._at((number + random.random()) / tests) for number in range(tests)]
        random.shuffle(drawn)
        return drawn

    def _at(self, quantile: float) -> float:
        place = quantile * (len(self.deciles_s) - 1)
        low, high = list(pairwise(self.deciles_s))[int(place)]
        return float(low * (high / low) ** (place % 1))


# `lognormal` is the mean and the deviation of the logarithm of the seconds, for those who want a formula.
SETS = {
    durations.name: durations
    for durations in (
        Durations(
            "metamask-android",
            "MetaMask/metamask-mobile tests/e2e-test-timings.json at 7fe7efa",
            78,
            89.2,
            (26.8, 35.1, 46.1, 52.1, 60.6, 66.8, 84.0, 97.7, 110.5, 149.6, 428.5),
            (4.30, 0.58),
        ),
        Durations(
            "metamask-ios",
            "MetaMask/metamask-mobile tests/e2e-test-timings.json at 7fe7efa",
            78,
            124.1,
            (38.1, 51.3, 60.6, 71.2, 80.5, 88.5, 116.2, 149.2, 172.1, 238.1, 457.4),
            (4.63, 0.60),
        ),
        Durations(
            "datahub",
            "datahub-project/datahub e2e-test/ui/playwright/playwright_test_weights.json at 0e93046",
            103,
            37.2,
            (0.2, 6.0, 8.4, 11.2, 18.2, 21.9, 30.2, 43.0, 51.7, 88.5, 270.4),
            (3.16, 0.99),
        ),
    )
}
