"""In a job of GitHub Actions that may (`permissions: id-token: write`): a short token for the job's own, so that no
secret is stored anywhere."""

import os
from collections.abc import Callable
from urllib.parse import quote, urlsplit

import msgspec

from qgjob.errors import Refused, Unavailable
from qgjob.models.tokens import Exchanged
from qgjob.transport import CONNECT_S, REPEATABLE, Transport, is_loopback, retry_after_s

WHERE, AS_WHOM = "ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"
# The server takes no tokens of GitHub: perhaps it needs none at all. If it does, it will say so.
NOT_OFFERED = {"oidc_is_set_up", "route_exists", "http_404"}


class Offer(msgspec.Struct):
    """What GitHub answers."""

    value: str


def is_offered(server_url: str) -> bool:
    """Also not over plain HTTP, where a token may not go."""
    if not (os.environ.get(WHERE) and os.environ.get(AS_WHOM)):
        return False
    try:
        return urlsplit(server_url).scheme == "https" or is_loopback(server_url)
    except ValueError:  # whoever connects will say so
        return False


def exchange(server_url: str, org_id: str | None, read_s: float, *, mask: Callable[[str], None]) -> str | None:
    """A token of this server, within `read_s`; None where it offers none. Each is told to `mask` before it is used."""
    of_job = of_github(server_url, read_s / 2)
    mask(of_job)
    transport = Transport(server_url, token=None, retry_for_s=0)
    body = msgspec.json.encode({"token": of_job, "org_id": org_id})
    try:
        # Once: GitHub's token may have been used up by a try whose answer was lost. Who tries again comes with another.
        answer = transport.send("POST", "/tokens/oidc", body=body, patience_s=read_s / 2, retry=False)
        token = msgspec.json.decode(answer, type=Exchanged).token
    except Refused as refused:
        if refused.code in NOT_OFFERED:
            return None
        if refused.code == "oidc_token_is_for_this_server":
            refused.hint = (
                f"it was asked for as {audience(server_url)}, and QGJOB_OIDC_AUDIENCE of the server is another"
            )
        raise
    except msgspec.DecodeError:
        raise Unavailable(
            f"{server_url} gave no token for that of GitHub, but something else",
            hint="is it a qgjob server? QGJOB_SERVER_URL or --server-url says where",
            code="unexpected_answer",
        ) from None
    finally:
        transport.close()
    mask(token)
    return token


def audience(server_url: str) -> str:
    """Whom GitHub's token is for: this server only."""
    parts = urlsplit(server_url)
    return f"{parts.scheme}://{parts.netloc}"


def of_github(server_url: str, read_s: float) -> str:
    """The token by which GitHub says which job of which repository this is."""
    import httpx

    where, as_whom = os.environ[WHERE], os.environ[AS_WHOM]
    separator = "&" if urlsplit(where).query else "?"
    url = f"{where}{separator}audience={quote(audience(server_url), safe='')}"
    said, passing, wait_s = "", True, None
    try:
        answer = httpx.get(
            url,
            headers={"Authorization": f"bearer {as_whom}"},
            timeout=min(CONNECT_S, read_s),
            trust_env=not is_loopback(where),
        )
        answer.raise_for_status()
        return msgspec.json.decode(answer.content, type=Offer).value
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        said, passing = f"HTTP {status}", status in REPEATABLE or status >= 500
        wait_s = retry_after_s(error.response.headers.get("retry-after"))
    except httpx.TransportError as error:
        said = type(error).__name__
    except (httpx.HTTPError, msgspec.DecodeError) as error:
        said, passing = type(error).__name__, False
    raise Unavailable(
        f"GitHub gave no token for this job: {said}",
        hint="or set QGJOB_TOKEN",
        retryable=passing,
        retry_after_s=wait_s,
    )
