"""What an admin sets, and the error for what is set wrongly."""

from typing import Any, TypeVar

import msgspec

Settings = TypeVar("Settings", bound=msgspec.Struct)


class ConfigError(Exception):
    """The options of an executor or a backend are wrong; said once, at the start of the worker."""


def settings_as(shape: type[Settings], given: dict[str, Any], kind: str) -> Settings:
    """Numbers among them may be text. Raises ConfigError, which names the kind: `executor` or `backend`."""
    try:
        return msgspec.convert(given, shape, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{kind} setting: {error}") from None
