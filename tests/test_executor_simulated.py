"""The simulated executor does what the words of a file name say, the same way in every run."""

import asyncio
from pathlib import Path

import pytest
from batches import batch, drive, finished, no_devices, printed, run

from worker.config import ConfigError
from worker.executors import Executor, Finished, Options, Started, load


def simulated(**settings: object) -> Executor:
    return load("simulated", Options(Path(), no_devices(), {"duration_s": 0.001, **settings}))


@pytest.mark.parametrize(
    ("path", "attempt", "status", "kind"),
    [
        ("tests/checkout.spec.js", 1, "completed", None),
        ("tests/change-password.spec.js", 1, "completed", None),
        ("tests/failover.spec.js", 1, "completed", None),
        ("tests/coupon-fail.spec.js", 1, "failed", "test"),
        ("tests/coupon_fail2.spec.js", 2, "failed", "test"),
        ("tests/cart-flaky.spec.js", 1, "failed", "test"),
        ("tests/cart-flaky.spec.js", 2, "completed", None),
        ("tests/sync-timeout.spec.js", 1, "failed", "timeout"),
        ("fail/hang/crash/fine.spec.js", 1, "completed", None),
    ],
)
def test_the_file_name_decides(path: str, attempt: int, status: str, kind: str | None) -> None:
    events = run(simulated(), batch(path, attempt=attempt))
    verdict = finished(events)[1]
    assert (verdict.status, verdict.failure_kind) == (status, kind)
    assert (verdict.message is None) == (status == "completed")
    assert printed(events) == f"{path} on emu-1, attempt {attempt}\n"


def test_a_hanging_spec_ends_when_it_is_stopped_and_has_no_verdict() -> None:
    events = run(simulated(), batch("a.js", "b-hang.js", "c.js"), stop_when=lambda seen: Started(2) in seen)
    assert list(finished(events)) == [1]
    assert Started(3) not in events


def test_a_crash_ends_the_run_without_a_verdict() -> None:
    events = run(simulated(), batch("a.js", "b-crash.js", "c.js"))
    assert list(finished(events)) == [1]
    assert Started(2) in events
    assert Started(3) not in events


def test_durations_differ_by_spec_and_stay_the_same_from_run_to_run() -> None:
    paths = [f"tests/{number}.spec.js" for number in range(40)]
    executor = simulated(duration_s=0.01, jitter=1.0)

    async def order() -> list[int]:
        # Each in a run of its own, all at once: they end in the order of their durations.
        done: list[int] = []

        async def one(number: int) -> None:
            events = await drive(executor, batch(paths[number]))
            done.append(number)
            assert any(isinstance(event, Finished) for event in events)

        await asyncio.gather(*(one(number) for number in (3, 17)))
        return done

    assert asyncio.run(order()) == asyncio.run(order())


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"duration": 1}, "there is no duration here; there are duration_s, "),
        ({"duration_s": -1}, r"at `\$.duration_s`"),
        ({"duration_s": "x"}, r"at `\$.duration_s`"),
        ({"jitter": 2}, r"at `\$.jitter`"),
    ],
)
def test_wrong_settings_are_said_at_the_start(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=f"^--setting: .*{said}"):
        simulated(**settings)
