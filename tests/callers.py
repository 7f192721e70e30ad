"""An API that asks for tokens, and HTTP requests that show one."""

import json
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from engine import Engine
from processes import Services

from qgjob.tokens import hashed, hint, new_token


class Answer(NamedTuple):
    status: int
    body: Any
    headers: Any


def token(engine: Engine, *scopes: str, org: str | None = None, **options: Any) -> str:
    """A new token, and nothing of it in the database but its hash."""
    text = new_token()
    engine.call("create_token", hash=hashed(text), hint=hint(text), name="of a test", scopes=list(scopes), org_id=org,
                **options)  # fmt: skip
    return text


def asking(services: Services, name: str = "api", **environment: str) -> str:
    """The URL of an API that wants tokens, also on loopback."""
    return services.api(name, QGJOB_AUTH="required", **environment)


def ask(
    url: str,
    token: str | None = None,
    body: Any = None,
    *,
    method: str | None = None,
    content_type: str = "application/json",
) -> Answer:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    if data is not None:
        headers["Content-Type"] = content_type
    request = Request(url, data, headers, method=method or ("GET" if body is None else "POST"))
    try:
        answer = urlopen(request, timeout=30)
    except HTTPError as refused:
        answer = refused
    with answer:
        text = answer.read()
        told = json.loads(text) if text and "json" in answer.headers.get("Content-Type", "") else text
        return Answer(answer.status, told, answer.headers)
