"""How times, durations, counts and selectors read in text."""

import re
import shlex
from datetime import UTC, datetime, timedelta

from qgjob.errors import Usage

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
LONGEST_S = 3650 * 86_400


def count(number: int, noun: str, nouns: str | None = None) -> str:
    """`1 job`, `2 jobs`; `2 deliveries` where the plural is given."""
    return f"{number} {noun if number == 1 else nouns or f'{noun}s'}"


def duration(seconds: float | None) -> str:
    """`4.2 s`, `3 min 20 s`, `2 h 5 min`; `-` where nothing was measured."""
    if seconds is None:
        return "-"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def size(number: int) -> str:
    """`512 B`, `1.2 MB`."""
    amount, unit = float(number), "B"
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            break
        amount /= 1000
    return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"


def moment(time: datetime | None) -> str | None:
    """`2026-01-31 12:00:03Z`."""
    return None if time is None else time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def share(rate: float | None) -> str:
    """`97.5 %`; `-` where nothing was measured."""
    return "-" if rate is None else f"{rate * 100:.1f} %"


def command(*arguments: str) -> str:
    """A command to copy into a shell, whatever the names in it are."""
    return " ".join(("qgjob", *map(shlex.quote, arguments)))


def pairs(mapping: dict[str, str]) -> str:
    """`android_version=14,platform=android`."""
    return ",".join(f"{key}={value}" for key, value in sorted(mapping.items()))


def target(name: str, selector: dict[str, str]) -> str:
    """A target as `--target` takes it."""
    return f"{name}:{pairs(selector)}" if selector else name


def seconds(text: str, *, option: str) -> float:
    """`90`, `90s`, `15m`, `1h30m`, `7d`."""
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd]?)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text or (len(parts) > 1 and not parts[-1][1]):
        raise Usage(f"{option}: not a duration: {text!r}", hint="for example 90s, 15m, 1h30m or 7d")
    total = sum(float(number) * UNITS[unit or "s"] for number, unit in parts)
    if total > LONGEST_S:
        raise Usage(f"{option}: {text} is longer than ten years")
    return total


def since(text: str) -> str:
    """A time for the server: as given, or so long ago."""
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        try:
            given = datetime.now(UTC) - timedelta(seconds=seconds(text, option="--since"))
        except Usage:
            hint = "for example 90s, 15m or 7d; 2026-11-22 or 2026-11-22T14:30Z"
            raise Usage(f"--since: neither so long ago nor a time: {text!r}", hint=hint) from None
    return given.astimezone(UTC).isoformat().replace("+00:00", "Z")
