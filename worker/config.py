"""The error for what an admin has set wrongly."""


class ConfigError(Exception):
    """The options of an executor or a backend are wrong; said once, at the start of the worker."""
