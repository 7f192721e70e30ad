"""One measured number as every row reports it, and how records are printed and kept."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from msgspec import Struct, to_builtins


class Record(Struct, frozen=True, kw_only=True):
    """`value` is the median of `n` rounds; `ratio` is value divided by the peer (or own number) named in `against`."""

    row: str
    name: str
    unit: str
    value: float
    n: int
    median: float
    min: float
    max: float
    peers: dict[str, float | None]
    against: str | None
    ratio: float | None
    bar: str
    met: bool | None
    note: str


def record(
    row: str,
    name: str,
    unit: str,
    rounds: Sequence[float],
    *,
    peers: Mapping[str, Sequence[float]] | None = None,
    against: str | None = None,
    bar: str = "",
    met: Callable[[float, float], bool] | None = None,
    note: str = "",
) -> Record:
    """`met` decides from value and ratio (0 where there is none). A peer without rounds could not be measured."""
    value = median(rounds)
    others = {peer: median(values) if values else None for peer, values in (peers or {}).items()}
    base = others.get(against) if against else None
    ratio = value / base if base else None
    decided = met is not None and (against is None or ratio is not None)
    return Record(
        row=row,
        name=name,
        unit=unit,
        value=value,
        n=len(rounds),
        median=value,
        min=min(rounds),
        max=max(rounds),
        peers=others,
        against=against,
        ratio=ratio,
        bar=bar,
        met=met(value, ratio or 0.0) if met and decided else None,
        note=note,
    )


def short(value: float | None) -> str:
    """Three figures, as people read them."""
    if value is None:
        return "-"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def cells(item: Record) -> list[str]:
    peers = ", ".join(f"{peer} {short(value)}" for peer, value in item.peers.items())
    ratio = f"{short(item.ratio)} × {item.against}" if item.ratio is not None else ""
    met = {True: "yes", False: "NO", None: ""}[item.met]
    spread = f"{short(item.min)}…{short(item.max)} ({item.n})"
    return [item.row, item.name, f"{short(item.value)} {item.unit}", spread, peers, ratio, item.bar, met, item.note]


HEADER = ["row", "what", "median", "min…max (rounds)", "peers", "ratio", "bar", "met", "note"]


def markdown(records: Sequence[Record], machine: dict[str, Any]) -> str:
    lines = ["# Benchmarks", "", *(f"- {name}: {value}" for name, value in machine.items()), ""]
    lines += ["| " + " | ".join(row) + " |" for row in (HEADER, ["---"] * len(HEADER), *map(cells, records))]
    return "\n".join(lines) + "\n"


def keep(records: Sequence[Record], machine: dict[str, Any], folder: Path, name: str) -> None:
    """Write NAME.json for programs and NAME.md for people."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {"machine": machine, "records": to_builtins(records)}
    (folder / f"{name}.json").write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    (folder / f"{name}.md").write_text(markdown(records, machine))
