"""A batch as spans: its claim under each run that it serves, and the attempts under that. For those who trace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qgjob.models.work import Trace
from qgjob.tracing import Tracing, context_of
from worker.batch import Batch, BatchJob

if TYPE_CHECKING:
    from opentelemetry.trace import Span

Attributes = dict[str, str | int | bool]


class Spans:
    """Of one batch."""

    def __init__(self, tracing: Tracing | None, batch: Batch, traces: list[Trace]) -> None:
        self._tracing = tracing
        self._batch = batch
        self._runs = {trace.job_id: trace for trace in traces}
        self._claims: dict[int, str] = {}
        self._attempts: dict[int, Span] = {}
        if tracing is None:
            return
        from opentelemetry.trace import SpanKind

        for trace in traces:
            if trace.run_id not in self._claims:
                jobs = sum(other.run_id == trace.run_id for other in traces)
                attributes = self._of_batch() | {"qgjob.run_id": trace.run_id, "qgjob.jobs": jobs}
                claim = tracing.begin("claim batch", trace.traceparent, SpanKind.CONSUMER, attributes)
                claim.end()
                self._claims[trace.run_id] = context_of(claim)

    def begin(self, job: BatchJob) -> None:
        trace = self._runs.get(job.job_id)
        if self._tracing is None or trace is None:
            return
        from opentelemetry.trace import SpanKind

        attributes = self._of_batch() | {
            "qgjob.run_id": trace.run_id,
            "qgjob.job_id": job.job_id,
            "qgjob.test_path": job.test_path,
            "qgjob.attempt": job.attempt,
        }
        self._attempts[job.job_id] = self._tracing.begin(
            "attempt", self._claims[trace.run_id], SpanKind.INTERNAL, attributes
        )

    def end(self, job_id: int, status: str, failure_kind: str | None = None) -> None:
        span = self._attempts.pop(job_id, None)
        if span is None:
            return
        from opentelemetry.trace import StatusCode

        span.set_attribute("qgjob.status", status)
        if failure_kind:
            span.set_attribute("qgjob.failure_kind", failure_kind)
        if status == "failed":
            span.set_status(StatusCode.ERROR, failure_kind)
        span.end()

    def close(self) -> None:
        """What has begun and not ended was given back."""
        for job_id in list(self._attempts):
            self.end(job_id, "returned")

    def _of_batch(self) -> Attributes:
        batch = self._batch
        return {
            "qgjob.org_id": batch.org_id,
            "qgjob.app_version_id": batch.app_version_id,
            "qgjob.batch_id": batch.lease,
            "qgjob.device": batch.device,
            "qgjob.target": batch.target,
            "qgjob.install": batch.install,
        }
