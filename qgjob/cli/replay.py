"""`qgjob replay`: how good the schedules are, and what grouping saves, measured on the real SQL functions."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from qgjob.cli import local, options
from qgjob.errors import Usage

EPILOG = options.examples(
    "qgjob replay",
    "qgjob replay --devices=8 --load=0.55 --groups=100 --durations=metamask-android --install-cost=40",
    "qgjob replay --workload=last-week.csv --devices=6",
    "qgjob replay --batch-instances=20 --seed=1",
    "qgjob replay --savings",
)
SIZES = ("small", "medium", "large")


class DurationSet(StrEnum):
    """The duration sets that the replay knows."""

    metamask_android = "metamask-android"
    metamask_ios = "metamask-ios"
    datahub = "datahub"


def replay(
    *,
    devices: Annotated[int | None, typer.Option(min=1, max=1000, help="Devices of each target. Default 8.")] = None,
    install_cost: Annotated[
        float | None, typer.Option(min=0, max=3600, metavar="S", help="Seconds to install a build. Default 40.")
    ] = None,
    reset_cost: Annotated[
        float | None, typer.Option(min=0, max=3600, metavar="S", help="Seconds between tests without one. Default 3.")
    ] = None,
    durations: Annotated[
        DurationSet | None, typer.Option(help="Whose test durations. Default metamask-android.")
    ] = None,
    scale: Annotated[
        float | None, typer.Option(min=0.001, max=100, metavar="F", help="Multiply them. Default 1.")
    ] = None,
    groups: Annotated[int | None, typer.Option(min=1, max=10_000, help="How many submissions. Default 12.")] = None,
    sizes: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES", help="Of small (5-10 tests), medium (20-50), large (100-150). Default all: 6:3:1."
        ),
    ] = None,
    orgs: Annotated[int | None, typer.Option(min=1, max=1000, help="Organisations that submit. Default 3.")] = None,
    load: Annotated[
        float | None,
        typer.Option(
            min=0.001, max=100, metavar="F", help="Arrive at random; the tests take this share of all device time."
        ),
    ] = None,
    batch: Annotated[bool, typer.Option("--batch", help="Submit everything at once. The default.")] = False,
    noise: Annotated[
        float | None,
        typer.Option(min=0, max=2, metavar="F", help="How much a test's duration varies. Default 0.15."),
    ] = None,
    history: Annotated[
        int | None,
        typer.Option(min=0, max=10, metavar="N", help="Runs of each test before. Default: 1, and again with none."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed draws the same workload.")] = 1,
    seeds: Annotated[
        int | None,
        typer.Option(min=1, max=1000, metavar="N", help="Replay so many workloads, from --seed on. Default 1."),
    ] = None,
    workload: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="Replay what was recorded in at most a year: JSON or CSV with at_s (seconds, also since 1970), "
            "org_id, app_version_id, target, test_path, duration_s, priority.",
        ),
    ] = None,
    batch_instances: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=10_000,
            metavar="N",
            help="Judge the scheduler on N draws of 3-12 groups at once on 4-8 devices, for two duration sets.",
        ),
    ] = None,
    savings: Annotated[bool, typer.Option("--savings", help="Make the table of savings, as Markdown.")] = False,
    timeline: Annotated[
        bool, typer.Option("--timeline", help="List what each device did, for the first seed.")
    ] = False,
    as_json: options.Json = False,
) -> int:
    """Run a workload through the real scheduler in virtual time, and compare.

    A PostgreSQL is started for it and thrown away. The makespan is compared with a lower bound that no schedule can
    beat; device time, installs and feedback time with three simple schedulers. Tests never fail in a replay.
    """
    given = {
        "--devices": devices, "--install-cost": install_cost, "--durations": durations, "--scale": scale,
        "--groups": groups, "--sizes": sizes, "--orgs": orgs, "--load": load, "--batch": batch or None,
        "--noise": noise, "--history": history, "--seeds": seeds, "--timeline": timeline or None,
        "--workload": workload, "--batch-instances": batch_instances, "--savings": savings or None,
    }  # fmt: skip
    used = {name for name, value in given.items() if value is not None}
    refuse("--savings", used, used - {"--savings", "--seeds"})
    refuse("--batch-instances", used, {"--savings", "--workload", "--load", "--seeds", "--timeline"})
    drawn = {"--durations", "--scale", "--groups", "--sizes", "--orgs", "--load", "--batch", "--seeds"}
    refuse("--workload", used, drawn)
    refuse("--load", used, {"--batch"})
    # Imported late: it needs what only a checkout has.
    needed = local.services("replay")
    both = ("metamask-android", "datahub") if batch_instances else ("metamask-android",)
    plan = needed.Plan(
        report="savings" if savings else "batch-instances" if batch_instances else "workload",
        seed=seed,
        seeds=seeds or batch_instances or (20 if savings else 1),
        install_s=40.0 if install_cost is None else install_cost,
        reset_s=3.0 if reset_cost is None else reset_cost,
        scale=1.0 if scale is None else scale,
        noise=0.15 if noise is None else noise,
        orgs=orgs or 3,
        history=(history,) if history is not None else (1, 0),
        sizes=chosen(sizes),
        durations=both if durations is None else (durations.value,),
        devices=devices,
        groups=groups,
        load=load,
        workload=None if workload is None else str(workload.absolute()),
        timeline=timeline,
        as_json=as_json,
    )
    code: int = needed.replay(plan)
    return code


def refuse(option: str, used: set[str], others: set[str]) -> None:
    if option in used and used & others:
        raise Usage(f"{option} leaves nothing to choose for {', '.join(sorted(used & others))}")


def chosen(sizes: str | None) -> tuple[str, ...]:
    names = SIZES if sizes is None else tuple(dict.fromkeys(name.strip() for name in sizes.split(",")))
    for name in names:
        if name not in SIZES:
            raise Usage(f"--sizes takes some of {', '.join(SIZES)}, not {name!r}")
    return names
