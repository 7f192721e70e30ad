"""A plug-in for qgjob workers; see the entry points in pyproject.toml."""
