"""One vocabulary of failure: SQLSTATE -> HTTP status -> exit code of the shell.

Functions refuse with SQLSTATE QJxxx, whose digits are the HTTP status; the constraint's name is the problem's type.
"""

# What PostgreSQL itself refuses because of the input. Everything else that is not ours is a fault of ours: 500.
OF_INPUT = {"23505": 409, "23503": 409, "23514": 422, "23502": 422, "54000": 422, "54001": 422}
OF_VALUES = "22"
# Connections, rollbacks, resources, locks, shutdowns, files, a standby that takes no writes: nothing was decided, try
# again.
PASSING = ("08", "25006", "40", "53", "55", "57", "58")


def status_of(sqlstate: str | None) -> int:
    """The HTTP status for a failed SQL call; None is a connection that broke."""
    if sqlstate is None or sqlstate.startswith(PASSING):
        return 503
    if sqlstate.startswith("QJ"):
        return int(sqlstate[2:])
    if sqlstate.startswith(OF_VALUES):
        return 422
    return OF_INPUT.get(sqlstate, 500)


def exit_code_of(status: int) -> int:
    """4: refused, repeating it will not help. 5: unavailable, nothing was decided."""
    return 4 if 400 <= status < 500 else 5
