"""The WebDriver calls that a worker makes itself; tests make the others, through their own client.
Source: W3C WebDriver, https://www.w3.org/TR/webdriver2/#endpoints"""

from typing import Any

import httpx

OPEN_S = 300.0  # a provider may queue a session before it opens it
CALL_S = 60.0
ASK_S = 15.0  # a session that does not answer in this time hangs


class WebDriverError(Exception):
    """`code` is the protocol's, such as `session not created`, or `unreachable` where no WebDriver answered; `status`
    that of HTTP, where anything answered."""

    def __init__(self, code: str, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


class WebDriver:
    """A WebDriver server. `url`: up to, and without, `/session`; `auth`: (user, key) for HTTP basic."""

    def __init__(self, url: str, auth: tuple[str, str] | None = None) -> None:
        self.url = url.rstrip("/")
        self.auth = auth

    async def is_ready(self) -> bool:
        """Whether the server answers."""
        try:
            return bool((await self._call("GET", "/status", None, 5.0)).get("ready", True))
        except WebDriverError:
            return False

    async def open(self, capabilities: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """A new session: its id and its capabilities. Raises WebDriverError, as every call does."""
        body: dict[str, Any] = {"capabilities": {"alwaysMatch": capabilities, "firstMatch": [{}]}}
        value = await self._call("POST", "/session", body, OPEN_S)
        return value["sessionId"], value["capabilities"]

    async def execute(self, session_id: str, script: str, *arguments: Any) -> Any:
        """Run a driver's own command, such as `mobile: clearApp`; what it returns."""
        return await self._call(
            "POST", f"/session/{session_id}/execute/sync", {"script": script, "args": list(arguments)}, CALL_S
        )

    async def ask(self, session_id: str) -> None:
        """Raises WebDriverError unless the session answers. What it asks for goes to the device and back."""
        try:
            await self._call("GET", f"/session/{session_id}/window/rect", None, ASK_S)
        except WebDriverError as error:
            if error.code not in ("unknown method", "unknown command", "unsupported operation"):
                raise

    async def close(self, session_id: str) -> None:
        """End the session."""
        await self._call("DELETE", f"/session/{session_id}", None, CALL_S)

    async def _call(self, method: str, path: str, body: Any, timeout_s: float) -> Any:
        try:
            async with httpx.AsyncClient(auth=self.auth, timeout=timeout_s) as client:
                response = await client.request(method, self.url + path, json=body)
        except httpx.HTTPError as error:
            raise WebDriverError("unreachable", f"{type(error).__name__}: {error}") from None
        try:
            value = response.json()["value"]
        except (ValueError, KeyError, TypeError):
            status = response.status_code
            raise WebDriverError("unreachable", f"No WebDriver answered, but HTTP {status}.", status) from None
        if response.is_error:
            # Some hubs still speak the older protocol, in which an error may be text.
            said: dict[str, Any] = value if hasattr(value, "get") else {"message": value}
            code, message = said.get("error", "unknown error"), said.get("message", "")
            raise WebDriverError(str(code), redacted(str(message), self.auth).strip(), response.status_code)
        return value


def redacted(text: str, auth: tuple[str, str] | None) -> str:
    """What somebody else's server says, without the credentials that it may repeat."""
    for secret in auth or ():
        text = text.replace(secret, "***")
    return text
