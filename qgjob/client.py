"""The routes of the API as typed calls. Creating calls take an idempotency key, so that repeating them is harmless."""

from collections.abc import Callable
from typing import Any, BinaryIO, Literal, TypeVar
from urllib.parse import quote

import msgspec

from qgjob.errors import Unavailable
from qgjob.models.attempts import Attempt, AttemptFile
from qgjob.models.builds import ArtifactAdded, Build, BuildPage
from qgjob.models.fleet import Device, Health, Stats, Worker
from qgjob.models.jobs import Cancelled, Job, JobPage, LiveLog, Log, Waiting, Why
from qgjob.models.orgs import Org, OrgDetails, OrgRemoval
from qgjob.models.runs import Failure, Group, Run, RunPage, Unserved
from qgjob.models.schedules import Schedule, ScheduleAddition
from qgjob.models.submission import JobSubmitted, RunSubmission, RunSubmitted
from qgjob.models.tokens import Identity, Token, TokenCreated, TokenPage, Trust
from qgjob.models.webhooks import DeliveryPage, Redriven, SecretRotated, TestSent, Webhook, WebhookAdded, WebhookRemoved
from qgjob.models.words import Platform
from qgjob.transport import Params, Transport

T = TypeVar("T")


def segment(identifier: str | int) -> str:
    """An id as one path segment. Dots are escaped too, or `..` would climb to another route."""
    quoted = quote(str(identifier), safe="")
    return quoted.replace(".", "%2E") if not quoted.strip(".") else quoted


class Client:
    """One server. Every call is answered, or raises Refused or Unavailable."""

    def __init__(
        self,
        server_url: str,
        *,
        token: str | None = None,
        exchange: Callable[[float], str | None] | None = None,
        retry_for_s: float = 60.0,
        say: Callable[[str], None] | None = None,
        traceparent: str | None = None,
    ) -> None:
        self.was_answered = False  # by a qgjob server
        self._transport = Transport(
            server_url, token=token, exchange=exchange, retry_for_s=retry_for_s, say=say, traceparent=traceparent
        )

    def close(self) -> None:
        self._transport.close()

    def submit_run(self, submission: RunSubmission, *, key: str) -> RunSubmitted:
        return self._call("POST", "/runs", RunSubmitted, body=msgspec.json.encode(submission), key=key)

    def job(self, job_id: str | int) -> Job:
        return self._call("GET", f"/jobs/{segment(job_id)}", Job)

    def jobs(self, params: Params) -> JobPage:
        return self._call("GET", "/jobs", JobPage, params=params)

    def attempts(self, job_id: str | int) -> list[Attempt]:
        return self._call("GET", f"/jobs/{segment(job_id)}/attempts", list[Attempt])

    def log(self, job_id: str | int, *, attempt: int | None = None) -> Log:
        params: Params = [] if attempt is None else [("attempt", attempt)]
        return self._call("GET", f"/jobs/{segment(job_id)}/log", Log, params=params)

    def live_log(self, job_id: str | int, *, attempt: int, after: int) -> LiveLog:
        """What the running attempt printed beyond `after` characters of that attempt."""
        params: Params = [("attempt", attempt), ("after", after)] if attempt else []
        return self._call("GET", f"/jobs/{segment(job_id)}/log/live", LiveLog, params=params)

    def files(self, job_id: str | int) -> list[AttemptFile]:
        return self._call("GET", f"/jobs/{segment(job_id)}/artifacts", list[AttemptFile])

    def download(self, file: AttemptFile, into: BinaryIO) -> int:
        """The number of bytes that were written."""
        return self._transport.download(f"/jobs/{file.job_id}/artifacts/{file.attempt}/{file.number}", into)

    def builds(self, params: Params) -> BuildPage:
        return self._call("GET", "/builds", BuildPage, params=params)

    def build(self, org_id: str, app_version_id: str) -> Build:
        return self._call("GET", f"/builds/{segment(org_id)}/{segment(app_version_id)}", Build)

    def add_artifact(self, addition: dict[str, str | int | None]) -> ArtifactAdded:
        return self._call("POST", "/builds", ArtifactAdded, body=msgspec.json.encode(addition))

    def upload(
        self, org_id: str, app_version_id: str, platform: Platform, file: BinaryIO, size: int, params: Params
    ) -> ArtifactAdded:
        path = f"/builds/{segment(org_id)}/{segment(app_version_id)}/artifacts/{platform}"
        return self._read(f"PUT {path}", self._transport.upload(path, file, size, params=params), ArtifactAdded)

    def why(self, job_id: str | int) -> Why:
        return self._call("GET", f"/jobs/{segment(job_id)}/why", Why)

    def cancel_job(self, job_id: str | int) -> Cancelled:
        return self._call("POST", f"/jobs/{segment(job_id)}/cancel", Cancelled)

    def retry_job(self, job_id: str | int, *, key: str) -> JobSubmitted:
        return self._call("POST", f"/jobs/{segment(job_id)}/retry", JobSubmitted, key=key)

    def run(self, run_id: str | int, *, patience_s: float | None = None) -> Run:
        return self._call("GET", f"/runs/{segment(run_id)}", Run, patience_s=patience_s)

    def changed_run(
        self, run_id: str | int, *, after_seq: int, wait_s: float, client_timeout_s: int | None = None
    ) -> Run:
        """Long-poll: the run as soon as it changed, or as it is after `wait_s`. Tried once; who waits has patience.
        With `client_timeout_s` it also says that its client is there, and when to give that up."""
        params: Params = [("wait", int(wait_s)), ("after_seq", after_seq)]
        if client_timeout_s is not None:
            params = [*params, ("client_timeout_s", client_timeout_s)]
        path = f"/runs/{segment(run_id)}"
        return self._call("GET", path, Run, params=params, patience_s=wait_s + 10, retry=False)

    def runs(self, params: Params) -> RunPage:
        return self._call("GET", "/runs", RunPage, params=params)

    def failures(self, run_id: str | int, *, limit: int, patience_s: float | None = None) -> list[Failure]:
        path = f"/runs/{segment(run_id)}/failures"
        return self._call("GET", path, list[Failure], params=[("limit", limit)], patience_s=patience_s)

    def waiting(self, run_id: str | int) -> list[Waiting]:
        """All of it: a run has few groups."""
        return self._call("GET", f"/runs/{segment(run_id)}/why", list[Waiting], params=[("limit", 1000)])

    def unserved(self, run_id: str | int) -> list[Unserved]:
        """Tried once, like the long-poll that it goes with."""
        return self._call("GET", f"/runs/{segment(run_id)}/unserved", list[Unserved], patience_s=10, retry=False)

    def run_of_key(self, org_id: str, key: str, *, patience_s: float | None = None) -> Run | None:
        """The run that was submitted with this idempotency key."""
        params: Params = [("org_id", org_id), ("idempotency_key", key)]
        found = self._call("GET", "/runs", RunPage, params=params, patience_s=patience_s)
        return found.runs[0] if found.runs else None

    def detach_run(self, run_id: str | int, *, patience_s: float | None = None) -> Run:
        return self._call("POST", f"/runs/{segment(run_id)}/detach", Run, patience_s=patience_s)

    def cancel_run(self, run_id: str | int, *, patience_s: float | None = None) -> Cancelled:
        return self._call("POST", f"/runs/{segment(run_id)}/cancel", Cancelled, patience_s=patience_s)

    def retry_run(
        self, run_id: str | int, *, only: Literal["failed", "all"], key: str, client_timeout_s: int | None = None
    ) -> RunSubmitted:
        params: Params = [("only", only)]
        if client_timeout_s is not None:
            params = [*params, ("client_timeout_s", client_timeout_s)]
        return self._call("POST", f"/runs/{segment(run_id)}/retry", RunSubmitted, params=params, key=key)

    def junit_xml(self, run_id: str | int, *, patience_s: float | None = None) -> bytes:
        return self._transport.send("GET", f"/runs/{segment(run_id)}/junit.xml", patience_s=patience_s)

    def orgs(self) -> list[Org]:
        return self._call("GET", "/orgs", list[Org])

    def org(self, org_id: str) -> OrgDetails:
        return self._call("GET", f"/orgs/{segment(org_id)}", OrgDetails)

    def change_org(self, org_id: str, changes: dict[str, Any]) -> OrgDetails:
        return self._call("PATCH", f"/orgs/{segment(org_id)}", OrgDetails, body=msgspec.json.encode(changes))

    def create_org(self, org_id: str, settings: dict[str, Any]) -> OrgDetails:
        return self._call("POST", "/orgs", OrgDetails, body=msgspec.json.encode({"org_id": org_id, **settings}))

    def remove_org(self, org_id: str) -> OrgRemoval:
        """One step of it."""
        return self._call("DELETE", f"/orgs/{segment(org_id)}", OrgRemoval)

    def schedules(self, org_id: str | None) -> list[Schedule]:
        return self._call("GET", "/schedules", list[Schedule], params=of_org(org_id))

    def schedule(self, schedule_id: str | int) -> Schedule:
        return self._call("GET", f"/schedules/{segment(schedule_id)}", Schedule)

    def add_schedule(self, addition: ScheduleAddition) -> Schedule:
        return self._call("POST", "/schedules", Schedule, body=msgspec.json.encode(addition))

    def change_schedule(self, schedule_id: str | int, changes: dict[str, Any]) -> Schedule:
        path = f"/schedules/{segment(schedule_id)}"
        return self._call("PATCH", path, Schedule, body=msgspec.json.encode(changes))

    def remove_schedule(self, schedule_id: str | int) -> None:
        self._transport.send("DELETE", f"/schedules/{segment(schedule_id)}")

    def run_schedule(self, schedule_id: str | int, *, key: str) -> RunSubmitted:
        return self._call("POST", f"/schedules/{segment(schedule_id)}/run", RunSubmitted, key=key)

    def groups(self, org_id: str | None) -> list[Group]:
        return self._call("GET", "/groups", list[Group], params=of_org(org_id))

    def workers(self, *, every: bool = False) -> list[Worker]:
        return self._call("GET", "/workers", list[Worker], params=[("all", "true")] if every else [])

    def drain(self, worker_id: str | int) -> Worker:
        return self._call("POST", f"/workers/{segment(worker_id)}/drain", Worker)

    def devices(self, *, every: bool = False) -> list[Device]:
        return self._call("GET", "/devices", list[Device], params=[("all", "true")] if every else [])

    def quarantine(self, device_id: str | int, reason: str) -> Device:
        return self._call(
            "POST", f"/devices/{segment(device_id)}/quarantine", Device, body=msgspec.json.encode({"reason": reason})
        )

    def readmit(self, device_id: str | int) -> Device:
        return self._call("POST", f"/devices/{segment(device_id)}/readmit", Device)

    def stats(self, org_id: str | None) -> Stats:
        return self._call("GET", "/stats", Stats, params=of_org(org_id))

    def whoami(self) -> Identity:
        return self._call("GET", "/whoami", Identity)

    def create_token(self, wanted: dict[str, Any]) -> TokenCreated:
        """Tried once: a token whose answer was lost would be one more that nobody knows of."""
        return self._call("POST", "/tokens", TokenCreated, body=msgspec.json.encode(wanted), retry=False)

    def tokens(self, params: Params) -> TokenPage:
        return self._call("GET", "/tokens", TokenPage, params=params)

    def revoke_token(self, token_id: str | int) -> Token:
        return self._call("DELETE", f"/tokens/{segment(token_id)}", Token)

    def add_trust(self, wanted: dict[str, str | None]) -> Trust:
        return self._call("POST", "/trusts", Trust, body=msgspec.json.encode(wanted))

    def trusts(self, org_id: str | None) -> list[Trust]:
        return self._call("GET", "/trusts", list[Trust], params=of_org(org_id))

    def remove_trust(self, trust_id: str | int) -> None:
        self._transport.send("DELETE", f"/trusts/{segment(trust_id)}")

    def health(self, *, wait_s: float | None) -> Health:
        """Tried once, as a probe is, unless it is to wait until the server is up."""
        return self._call("GET", "/health", Health, patience_s=wait_s or 10.0, retry=wait_s is not None)

    def webhooks(self, org_id: str | None) -> list[Webhook]:
        return self._call("GET", "/webhooks", list[Webhook], params=of_org(org_id))

    def add_webhook(self, addition: dict[str, Any], *, key: str) -> WebhookAdded:
        return self._call("POST", "/webhooks", WebhookAdded, body=msgspec.json.encode(addition), key=key)

    def update_webhook(self, webhook_id: str | int, change: dict[str, Any]) -> Webhook:
        return self._call("PATCH", f"/webhooks/{segment(webhook_id)}", Webhook, body=msgspec.json.encode(change))

    def rotate_secret(self, webhook_id: str | int, rotation: dict[str, Any]) -> SecretRotated:
        path = f"/webhooks/{segment(webhook_id)}/rotate-secret"
        # Tried once: a second rotation would make the first secret the old one, and lose the one before.
        return self._call("POST", path, SecretRotated, body=msgspec.json.encode(rotation), retry=False)

    def remove_webhook(self, webhook_id: str | int) -> WebhookRemoved:
        return self._call("DELETE", f"/webhooks/{segment(webhook_id)}", WebhookRemoved)

    def send_test(self, webhook_id: str | int) -> TestSent:
        return self._call("POST", f"/webhooks/{segment(webhook_id)}/test", TestSent)

    def deliveries(self, webhook_id: str | int, params: Params) -> DeliveryPage:
        return self._call("GET", f"/webhooks/{segment(webhook_id)}/deliveries", DeliveryPage, params=params)

    def redrive(self, webhook_id: str | int, delivery_id: int | None) -> Redriven:
        params: Params = [] if delivery_id is None else [("delivery_id", delivery_id)]
        return self._call("POST", f"/webhooks/{segment(webhook_id)}/redrive", Redriven, params=params)

    def _call(
        self,
        method: str,
        path: str,
        returns: type[T],
        *,
        params: Params = (),
        body: bytes | None = None,
        key: str | None = None,
        patience_s: float | None = None,
        retry: bool = True,
    ) -> T:
        answer = self._transport.send(
            method, path, params=params, body=body, key=key, patience_s=patience_s, retry=retry
        )
        return self._read(f"{method} {path}", answer, returns)

    def _read(self, request: str, answer: bytes, returns: type[T]) -> T:
        try:
            understood = msgspec.json.decode(answer, type=returns)
            self.was_answered = True
            return understood
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Unavailable(
                f"{request} was answered in a way that this qgjob cannot read: {error}",
                hint="is QGJOB_SERVER_URL a qgjob server, and of a version near this client's (qgjob --version)?",
                code="unexpected_answer",
            ) from error


def of_org(org_id: str | None) -> Params:
    return [] if org_id is None else [("org_id", org_id)]
