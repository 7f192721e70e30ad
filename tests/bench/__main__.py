"""python -m bench: start a durable server, measure the rows, print the table and keep it under results/."""

import argparse
import signal
import time
from importlib import import_module
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.lab import CHECKOUT, QUICK, Lab, Scale, server
from bench.machine import describe, load, wait_for_calm
from bench.queues import installed_peers
from bench.records import HEADER, Record, cells, keep

ROWS = ("yardsticks", "submit_many", "submit_one", "pick_up", "over_http", "waiting", "drain", "claim_cost", "ageing")
RESULTS = Path(__file__).with_name("results")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", action="append", choices=ROWS, help="this row only; may be repeated")
    parser.add_argument("--quick", action="store_true", help="small sizes: a few minutes")
    parser.add_argument("--rounds", type=int, help="rounds of each contender")
    parser.add_argument("--calm", type=float, default=1.0, help="wait for this 1-minute load before each row")
    parser.add_argument("--wait", type=float, default=60, help="but no longer than so many seconds")
    parser.add_argument("--name", help="of the files under results/; without it today's date, with --quick none")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # of `timeout`, say: ends in order, as Ctrl-C does

    scale = QUICK if options.quick else Scale()
    scale = Scale(**{name: getattr(scale, name) for name in scale.__struct_fields__}
                  | ({"rounds": options.rounds} if options.rounds else {}))  # fmt: skip
    name = options.name or ("" if options.quick else time.strftime("%Y-%m-%d"))
    records: list[Record] = []
    with server(CHECKOUT / ".qgjob" / "bench") as url:
        lab = Lab(url, scale, installed_peers())
        lab.prepare()
        machine = describe(url)
        began, loads = time.monotonic(), []
        try:
            for row in options.only or ROWS:
                loads.append(f"{row} {wait_for_calm(options.calm, options.wait):.1f}")
                lab.say(f"{row}, at a load of {load():.1f}")
                records += list(import_module(f"bench.rows.{row}").measure(lab))
        finally:  # what was measured is not lost when a later row fails, or is given up
            machine["load before each row"] = ", ".join(loads)
            machine["took"] = f"{(time.monotonic() - began) / 60:.0f} min"
            machine["scale"] = "quick" if options.quick else "full"
            show(records)
            if name and records:
                keep(records, machine, RESULTS, name)


def show(records: list[Record]) -> None:
    table = Table(*HEADER)
    for item in records:
        table.add_row(*cells(item))
    Console(width=240, soft_wrap=False).print(table)


if __name__ == "__main__":
    main()
