"""Devices that exist in name only: installing takes the time it is told to take."""

import asyncio

from worker.executors import Batch


class SimulatedDevices:
    def __init__(self, install_s: float) -> None:
        self._install_s = install_s

    async def install(self, batch: Batch) -> None:
        await asyncio.sleep(self._install_s)
