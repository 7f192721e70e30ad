"""The words that all shapes share, and their limits."""

from typing import Annotated, Literal

from msgspec import Meta

Target = Literal["emulator", "device", "browserstack"]
Priority = Literal["low", "normal", "high", "urgent"]
Reset = Literal["reinstall", "clear", "restart", "none"]
Retries = Annotated[int, Meta(ge=0, le=10)]
TimeoutS = Annotated[int, Meta(ge=1, le=86_400)]
Status = Literal["pending", "queued", "running", "completed", "failed", "cancelled"]
RunStatus = Literal["pending", "running", "completed", "failed", "cancelled"]
FailureKind = Literal["test", "timeout", "infrastructure"]
Platform = Literal["android", "ios"]
# Why a worker lets go of a batch.
ReleaseReason = Literal["done", "drained", "busy", "unprepared", "unfetched", "refused"]
Selector = dict[str, str]
Slug = Annotated[str, Meta(min_length=1, max_length=128)]
TestPath = Annotated[str, Meta(min_length=1, max_length=512)]
ClientTimeout = Annotated[int, Meta(ge=10, le=86_400)]
MAX_JOBS_PER_RUN = 10_000
# What a build's file may end in; the first where nothing is said.
SUFFIXES: dict[Platform, tuple[str, ...]] = {"android": ("apk", "aab"), "ios": ("ipa", "zip")}
