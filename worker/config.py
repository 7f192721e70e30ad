"""What an admin sets, and the error for what is set wrongly."""

from typing import Any, TypeVar

import msgspec

from qgjob.errors import Usage

Settings = TypeVar("Settings", bound=msgspec.Struct)


class ConfigError(Usage):
    """The options of an executor or a backend are wrong; said once, at the start of the worker."""


def settings_as(shape: type[Settings], given: dict[str, Any], flag: str) -> Settings:
    """Numbers among them may be text. Raises ConfigError, which names the flag and the setting."""
    fields = msgspec.structs.fields(shape)
    known = [field.encode_name for field in fields]
    if unknown := [name for name in given if name not in known]:
        raise ConfigError(f"{flag}: there is no {', '.join(unknown)} here; there are {', '.join(known) or 'none'}")
    if missing := [field.encode_name for field in fields if field.required and field.encode_name not in given]:
        raise ConfigError(f"{flag}: {', '.join(missing)} is needed, as in {flag}={missing[0]}=…")
    try:
        return msgspec.convert(given, shape, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{flag}: {error}") from None
