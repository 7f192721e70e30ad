"""Answers to what a worker asks, by whichever way it asks."""

from msgspec import Struct


class WorkerId(Struct):
    worker_id: int


class DeviceId(Struct):
    device_id: int


class OpenSessions(Struct):
    leases: list[int]


class Admission(Struct):
    admitted: bool


class Health(Struct):
    well: bool
