"""Command lines as templates: lists of arguments with {fields}, filled one by one. There is no shell, so a value can
never become a second argument or a command."""

from collections.abc import Collection, Mapping, Sequence
from string import Formatter

from worker.config import ConfigError


def check(argv: Sequence[str], allowed: Collection[str], where: str) -> None:
    """Raises ConfigError for all but exactly an allowed {field}: `{spec.__class__}`, `{spec!r}`, `{spec:>9}`."""
    if not argv or not argv[0]:
        raise ConfigError(f"{where}: an empty command")
    for argument in argv:
        try:
            parts = list(Formatter().parse(argument))
        except ValueError as error:
            raise ConfigError(f"{where}: {argument!r}: {error}; a literal brace is written twice") from None
        for _, field, form, conversion in parts:
            if field is None:
                continue
            if field not in allowed or form or conversion:
                known = ", ".join(f"{{{name}}}" for name in sorted(allowed))
                raise ConfigError(f"{where}: {argument!r}: only these fields can be used here: {known}")


def fill(argv: Sequence[str], values: Mapping[str, str]) -> list[str]:
    """The command line. `argv` has passed `check`."""
    return [
        "".join(
            literal + ("" if field is None else values[field]) for literal, field, _, _ in Formatter().parse(argument)
        )
        for argument in argv
    ]
