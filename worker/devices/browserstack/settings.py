"""What an admin says about a BrowserStack account, and the credentials, which are said in the environment only."""

import hashlib
import os
import re
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from msgspec import Meta, Struct, field

from qgjob.models.words import Reset
from worker.batch import Batch
from worker.config import ConfigError
from worker.devices import Options

# BrowserStack ignores other characters in names.
UNNAMEABLE = re.compile(r"[^A-Za-z0-9.:\-\[\]/@&'_ ]")
OURS = ("userName", "accessKey")


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """`device` and `os_version` may be regular expressions: any device that fits is taken. `region`: the country that
    the device seems to be in. `build`: the name under which sessions are shown; by default organisation and version.
    `max_session_s`: sessions end after two hours, whatever runs in them, so no job begins after this."""

    api_url: str = "https://api-cloud.browserstack.com"
    hub_url: str = "https://hub.browserstack.com/wd/hub"
    platform: Literal["android", "ios"] = "android"
    device: str = ".*"
    os_version: str | None = None
    region: str | None = None
    project: str = "qgjob"
    build: str | None = None
    idle_timeout_s: Annotated[int, Meta(ge=1, le=300)] = 300
    max_session_s: Annotated[float, Meta(gt=0, lt=7200)] = 6000.0
    capabilities: dict[str, Any] = field(default_factory=dict[str, Any])

    def check(self) -> None:
        """Raises ConfigError. Credentials in a setting would be in the list of processes for all to see."""
        for name, url in (("api_url", self.api_url), ("hub_url", self.hub_url)):
            parts = urlsplit(url)
            if parts.username or parts.password:
                raise ConfigError(
                    f"--backend-setting: {name} must not carry credentials; set {USERNAME} and {ACCESS_KEY}"
                )
            if parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "::1", "localhost"):
                raise ConfigError(f"--backend-setting: {name} must begin with https://, for it is sent credentials")
        said = {**self.capabilities, **self.capabilities.get("bstack:options", {})}
        if any(name in said for name in (*OURS, "browserstack.user", "browserstack.key")):
            raise ConfigError(
                f"--backend-setting: capabilities must not carry credentials; set {USERNAME} and {ACCESS_KEY}"
            )

    def labels(self) -> dict[str, str]:
        """What selectors can ask of these parallels."""
        said = {"platform": self.platform, "os_version": self.os_version, "region": self.region}
        return {name: value for name, value in said.items() if value}

    def of_session(self, batch: Batch, app_url: str) -> dict[str, Any]:
        """The capabilities of a batch's session. The worker resets the app between jobs, so Appium must not."""
        options: dict[str, Any] = {
            "projectName": self.project,
            "buildName": UNNAMEABLE.sub("_", self.build or f"{batch.org_id} {batch.app_version_id}"),
            "sessionName": UNNAMEABLE.sub("_", f"{batch.device} batch {batch.lease}"),
            "deviceName": self.device,
            "idleTimeout": self.idle_timeout_s,
        }
        if self.os_version:
            options["osVersion"] = self.os_version
        if self.region:
            options["geoLocation"] = self.region
        if installs_again(batch.reset, self.platform):
            options["midSessionInstallApps"] = [app_url]
        extra = dict(self.capabilities)
        return {
            "platformName": self.platform,
            "appium:automationName": "XCUITest" if self.platform == "ios" else "UiAutomator2",
            # As AppWright asks for them: nothing in a spec answers what the system asks of a new app.
            **({"appium:autoAcceptAlerts": True} if self.platform == "ios" else {"appium:autoGrantPermissions": True}),
            "appium:noReset": True,
            **{name: value for name, value in extra.items() if name != "bstack:options"},
            "appium:app": app_url,
            "bstack:options": options | extra.get("bstack:options", {}),
        }


def installs_again(reset: Reset, platform: str) -> bool:
    """Whether this reset means another installation: real iPhones cannot clear an app's data."""
    return reset == "reinstall" or (reset == "clear" and platform == "ios")


USERNAME, ACCESS_KEY = "BROWSERSTACK_USERNAME", "BROWSERSTACK_ACCESS_KEY"


class Credentials:
    """No struct, for a struct shows its fields when it is printed. `account` names them in the database."""

    def __init__(self, username: str, access_key: str) -> None:
        self.auth = (username, access_key)
        self.account = hashlib.sha256(username.encode()).hexdigest()


def credentials() -> Credentials:
    """Those of the environment. Raises ConfigError."""
    missing = [name for name in (USERNAME, ACCESS_KEY) if not os.environ.get(name)]
    if missing:
        raise ConfigError(f"backend browserstack: set {' and '.join(missing)}")
    return Credentials(os.environ[USERNAME], os.environ[ACCESS_KEY])


def settings_of(options: Options) -> Settings:
    """Raises ConfigError."""
    if options.target != "browserstack":
        raise ConfigError(f"backend browserstack drives --target browserstack, not {options.target}")
    settings = options.settings_as(Settings)
    settings.check()
    return settings
