"""Asking for a batch and, where there is none, waiting: alike for workers on the database and for the API that asks for
others."""

import random
from typing import Any

import sql


async def claim(
    db: sql.Database | sql.OnBehalf, row: type[sql.Row], worker_id: int, asked: dict[str, Any]
) -> sql.Row | None:
    """`asked`: the other arguments of claim_batch. None only after asking twice: the first claim that finds nothing is
    what has hints sent, and a submission may slip in before; and one that has ended a batch waits for nobody."""
    for _ in range(2):
        batch = await sql.optional(db, row, "claim_batch", worker_id=worker_id, **asked)
        if batch is not None:
            return batch
    return None


def poll_s(*, heard: bool) -> float:
    """When to ask again without a hint: slowly while hints are heard, and never all workers together."""
    return random.uniform(4, 6) if heard else random.uniform(0.5, 1)  # noqa: S311
