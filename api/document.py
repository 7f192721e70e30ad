"""What the framework does not say of the API in its OpenAPI document: problems, names, strictness, examples."""

from collections.abc import Iterable
from typing import Any

from litestar import Litestar
from litestar.openapi.spec import (
    Example,
    OpenAPIMediaType,
    OpenAPIResponse,
    Operation,
    Reference,
    Schema,
    SecurityScheme,
)
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType

from api.problems import PROBLEM_JSON

PROBLEMS = {
    "400": "The request is no HTTP or no JSON that can be read.",
    "401": "No token was shown, or one that opens nothing.",
    "403": "The token does not open this.",
    "404": "There is no such thing.",
    "405": "There is no such method here.",
    "409": "Not in the state that things are in.",
    "413": "The body is too large.",
    "415": "The body has the wrong type.",
    "422": "The request itself is wrong; `field` says where.",
    "429": "Too much at a time; `Retry-After` says when to come back.",
    "500": "A fault of the server; `request_id` is in its log.",
    "503": "Something that is needed cannot be reached; nothing was decided.",
    "504": "The database took too long, and was told to stop.",
}
SIGN_IN = "A token of qgjob: qgjob token create, or python -m api token create for the first one."
TEXT, NUMBER = Schema(type=OpenAPIType.STRING), Schema(type=OpenAPIType.INTEGER)
PROBLEM = Schema(
    type=OpenAPIType.OBJECT,
    description="RFC 9457: `type` is stable, `title` is a sentence a person can act on.",
    properties={"type": TEXT, "status": NUMBER, "title": TEXT, "hint": TEXT, "field": TEXT, "request_id": TEXT},
    required=["type", "status", "title"],
    additional_properties=False,
)
TIME = Schema(
    any_of=[Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.DATE_TIME), Schema(type=OpenAPIType.NUMBER)],
    description="RFC 3339, or seconds since 1970",
)
# SQL checks them, with better words than a pattern has.
NAME = r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,127}$"
TEST_PATH = r"^(?!(.*/)?\.{0,2}(/|$))[^/\\\x00-\x1f\x7f-][^\\\x00-\x1f\x7f]*$"
PATTERNS = {"org_id": NAME, "app_version_id": NAME, "test_path": TEST_PATH}
JOB = {"org_id": "qualgent", "app_version_id": "v1.2.3", "test_path": "tests/checkout.spec.js", "priority": "high"}
JOBS = [{"test_path": "tests/checkout.spec.js"}, {"test_path": "tests/login.spec.js"}]
# By the name of the body's schema.
EXAMPLES: dict[str, dict[str, Any]] = {
    "SingleSubmission": JOB,
    "RunSubmission": {"org_id": "qualgent", "app_version_id": "v1.2.3", "jobs": JOBS, "labels": {"branch": "main"}},
    "Report": {"lease": 1, "status": "completed", "result": {"success": True, "execution_time": 45}},
    "ArtifactAddition": {
        "org_id": "qualgent",
        "app_version_id": "v1.2.3",
        "platform": "android",
        "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "url": "https://ci.example.com/app.apk",
    },
    "Registration": {"name": "lab-1", "target_types": ["emulator"]},
    "DeviceRegistration": {"name": "lab-1-1", "target": "emulator", "labels": {"platform": "android"}},
    "Quarantine": {"reason": "the battery swells"},
    "Claim": {"device_id": 1, "max_jobs": 20, "wait": 0},
    "Pulse": {"wait": 0},
    "Finding": {"complaint": "The battery of emulator-5554 is at 3 %, less than 15 %."},
    "DeviceRelease": {"message": "lab-1-1 is not connected any more."},
    "Content": {"provider": "browserstack", "account": "9f86d081", "sha256": 32 * "9f"},
    "Account": {"account": "9f86d081"},
    "Session": {"session_id": "8b2c6d0e"},
    "Printed": {"job_id": 1, "after": 0, "log": "opening the cart"},
    "BatchRelease": {"reason": "done"},
    "Wish": {"account": "9f86d081", "allowed": 5, "running": 2, "known": [1]},
    "WebhookAddition": {"org_id": "qualgent", "url": "https://ci.example.com/hook", "events": ["run.finished"]},
    "WebhookChanges": {"enabled": False},
    "Rotation": {"overlap_h": 24},
    "OrgCreation": {"org_id": "qualgent", "max_pending_jobs": 50000, "group_by": ["repo"]},
    "OrgChanges": {"max_pending_jobs": 50000, "max_devices": None, "keep_days": 90},
    "ScheduleAddition": {
        "org_id": "qualgent",
        "name": "nightly",
        "cron": "0 2 * * 1-5",
        "time_zone": "Europe/Berlin",
        "jobs": JOBS,
    },
    "ScheduleChanges": {"enabled": False},
    "NewToken": {"org_id": "qualgent", "name": "ci", "scopes": ["submit"], "expires_in_s": 2592000},
    "NewTrust": {"org_id": "qualgent", "repository_owner_id": "9919", "repository_id": "724712"},
    "Exchange": {"token": "eyJhbGciOiJSUzI1NiJ9.e30.c2lnbmF0dXJl"},
}


def complete(app: Litestar) -> None:
    """Once, when the application is made."""
    document = app.openapi_schema
    schemas = document.components.schemas
    schemas["Problem"] = PROBLEM
    # Or none: on loopback nobody is asked for one.
    document.components.security_schemes = {"token": SecurityScheme(type="http", scheme="bearer", description=SIGN_IN)}
    document.security = [{"token": []}, {}]
    for name, schema in schemas.items():
        complete_schema(name, schema)
    for path in (document.paths or {}).values():
        for operation in operations(path):
            complete_operation(operation)


def complete_schema(name: str, schema: Schema) -> None:
    if name in EXAMPLES:
        schema.examples = [EXAMPLES[name]]
    for field, pattern in PATTERNS.items():
        found = (schema.properties or {}).get(field)
        if name in EXAMPLES | {"JobSubmission": 0} and isinstance(found, Schema):
            found.pattern = pattern
    if name in EXAMPLES or name in ("JobSubmission", "JobDefaults", "Outcome"):
        schema.additional_properties = False


def operations(path: Any) -> Iterable[Operation]:
    found = (path.get, path.post, path.put, path.patch, path.delete)
    return (operation for operation in found if operation is not None)


def complete_operation(operation: Operation) -> None:
    content = {PROBLEM_JSON: OpenAPIMediaType(schema=Reference(ref="#/components/schemas/Problem"))}
    responses = {**(operation.responses or {})}
    for status, description in PROBLEMS.items():
        responses[status] = OpenAPIResponse(description=description, content=content)
    operation.responses = responses
    for parameter in operation.parameters or []:
        if not isinstance(parameter, Reference) and parameter.name in ("job_id", "run_id", "worker_id", "schedule_id"):
            parameter.example = 1
        elif not isinstance(parameter, Reference) and parameter.name in ("since", "before"):
            parameter.schema = TIME
        elif not isinstance(parameter, Reference) and parameter.name == "org_id":
            parameter.examples = {"org": Example(value="qualgent")}
