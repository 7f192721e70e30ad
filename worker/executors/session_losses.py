"""When is a failed test the fault of the session, and not of the app? One table, and a question to the session.

The text alone does not tell. AppWright hides what went wrong behind `Element was not found on the screen`, and a test
may meet ECONNREFUSED at its own backend. So what only a driver says is believed, and else the session is asked.
"""

from worker.batch import Batch
from worker.devices import Backend, Session
from worker.webdriver import WebDriver, WebDriverError

# A part of what a driver or a server says → what that means.
SAID: tuple[tuple[str, str], ...] = (
    ("invalid session id", "the session no longer exists"),
    ("A session is either terminated or not started", "the session no longer exists"),
    ("NoSuchDriverError", "the session no longer exists"),
    ("session timed out or not found", "the session no longer exists"),
    ("instrumentation process is not running", "the driver on the device has ended"),
    ("instrumentation process cannot be initialized", "the driver on the device has ended"),
    ("Could not proxy command to the remote server", "the driver on the device does not answer"),
    ("WebDriverAgent is not running", "the driver on the device has ended"),
    ("error: device offline", "the device is offline"),
    ("error: no devices/emulators found", "the device is gone"),
    ("error: device unauthorized", "the device no longer trusts this machine"),
)


def meaning_of(text: str) -> str | None:
    """What is lost, if these words tell."""
    return next((meaning for phrase, meaning in SAID if phrase.lower() in text.lower()), None)


async def lost(session: Session, batch: Batch, backend: Backend, said: str = "") -> str | None:
    """Why the session or its device is of no more use, in words; None: both work. `said`: by a test that failed."""
    if meaning := meaning_of(said):
        return meaning
    try:
        await WebDriver(session.url, session.auth).ask(session.session_id)
    except WebDriverError as error:
        if error.code == "unreachable":
            return f"the server of the session does not answer ({error})"
        return meaning_of(f"{error.code}: {error}") or f"the session answers {error.code}: {error}"
    return await backend.lost(batch.device)
