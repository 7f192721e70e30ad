"""In a job of GitHub Actions that may (`permissions: id-token: write`): a short token for the job's own, so that no
secret is stored anywhere."""

import os
from urllib.parse import quote, urlsplit

import msgspec

from qgjob.errors import Refused, Unavailable
from qgjob.models import Exchanged
from qgjob.transport import Transport, is_loopback

WHERE, AS_WHOM = "ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"
TRIES = 3
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


def exchange(server_url: str, org_id: str | None) -> str | None:
    """A token of this server; None where it offers none."""
    transport = Transport(server_url, token=None, retry_for_s=0)
    try:
        for left in reversed(range(TRIES)):
            body = msgspec.json.encode({"token": of_github(server_url), "org_id": org_id})
            try:
                # Once each: GitHub's token may have been used up by a try whose answer was lost.
                answer = transport.send("POST", "/tokens/oidc", body=body, retry=False)
                return msgspec.json.decode(answer, type=Exchanged).token
            except Unavailable:
                if not left:
                    raise
            except Refused as refused:
                if refused.code in NOT_OFFERED:
                    return None
                raise
    finally:
        transport.close()
    return None


def of_github(server_url: str) -> str:
    """The token by which GitHub says which job of which repository this is, for this server only."""
    import httpx

    where, as_whom = os.environ[WHERE], os.environ[AS_WHOM]
    parts = urlsplit(server_url)
    separator = "&" if urlsplit(where).query else "?"
    url = f"{where}{separator}audience={quote(f'{parts.scheme}://{parts.netloc}', safe='')}"
    try:
        answer = httpx.get(
            url, headers={"Authorization": f"bearer {as_whom}"}, timeout=10, trust_env=not is_loopback(where)
        )
        answer.raise_for_status()
        return msgspec.json.decode(answer.content, type=Offer).value
    except (httpx.HTTPError, msgspec.DecodeError) as error:
        said = type(error).__name__
        if isinstance(error, httpx.HTTPStatusError):
            said = f"HTTP {error.response.status_code}"
        raise Unavailable(f"GitHub gave no token for this job: {said}", hint="or set QGJOB_TOKEN") from None
