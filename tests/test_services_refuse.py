"""A service that cannot begin says why in one line, and what to do, as the client does."""

import os
import re
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from processes import CHECKOUT
from psycopg.sql import SQL, Identifier

NOBODY = "postgresql://127.0.0.1:1/nobody"
SIMULATED = ("worker", "--executor", "simulated")
HELP = "hint: python -m {} --help\n"


@pytest.mark.parametrize(
    ("line", "environment", "code", "said"),
    [
        (("worker", "--lease", "abc"), {}, 2, f"error: Invalid value for '--lease': .*\n{HELP.format('worker')}"),
        (("worker", "--nope"), {}, 2, f"error: No such option: --nope .*\n{HELP.format('worker')}"),
        (("api", "--port", "abc"), {}, 2, f"error: Invalid value for '--port': .*\n{HELP.format('api')}"),
        (("api", "token", "create"), {}, 2, f"error: Missing option '--scope'.\n{HELP.format('api token create')}"),
        (("api", "token"), {}, 2, "(.*\n)+error: no command given\nhint: python -m api token create --help .*\n"),
        ((*SIMULATED, "--label", "x"), {}, 2, f"error: .*--label: 'x' is not .*\n{HELP.format('worker')}"),
        ((*SIMULATED, "--setting", "x=1"), {}, 2, "error: --setting: there is no x here; .*\n"),
        ((*SIMULATED, "--server", "far.example"), {}, 2, "error: --server: .*\n(hint: .*\n)?"),
        (SIMULATED, {"QGJOB_DATABASE_URL": ""}, 2, "error: say --server=.*\n"),
        (SIMULATED, {}, 5, "(.*WARNING.*\n)?error: cannot use the database: .*\n\t.*\n"),
        (SIMULATED, {"QGJOB_LOG": "x"}, 2, "error: QGJOB_LOG is plain or json, not 'x'\n"),
        (SIMULATED, {"QGJOB_STORE_URL": "x"}, 2, "error: QGJOB_STORE_URL is not file:.*\n"),
        (SIMULATED, {"QGJOB_PREPARED_STATEMENTS": "x"}, 2, "error: QGJOB_PREPARED_STATEMENTS is on or off, not 'x'\n"),
        (("api",), {}, 5, "error: cannot use the database: .*\n\t.*\n"),
        (("api",), {"QGJOB_WEBHOOK_TIMEOUT_S": "x"}, 2, "error: QGJOB_WEBHOOK_TIMEOUT_S is a whole number .*\n"),
        (("api",), {"QGJOB_BUILD_MAX_MB": "x"}, 2, "error: QGJOB_BUILD_MAX_MB is a whole number of megabytes\n"),
        (("api", "token", "create", "--scope=read"), {}, 5, "error: cannot use the database: .*\n\t.*\n"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, (tuple, dict)) else None,
)  # fmt: skip
def test_in_a_line_and_an_exit_code(
    line: tuple[str, ...], environment: dict[str, str], code: int, said: str, tmp_path: Path
) -> None:
    known = {"QGJOB_DATABASE_URL": NOBODY, "QGJOB_STORE_URL": tmp_path.as_uri()}
    service, *arguments = line
    done = subprocess.run(
        [sys.executable, "-m", service, *arguments], capture_output=True, text=True, timeout=60,
        env=os.environ | known | environment, cwd=CHECKOUT, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (code, "")
    assert re.fullmatch(said, done.stderr), done.stderr


@pytest.mark.parametrize("service", [SIMULATED, ("api",)], ids=lambda line: str(line[0]))
def test_a_database_whose_transactions_do_not_see_what_others_commit(
    service: tuple[str, ...], database_url: str, tmp_path: Path
) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            SQL("alter database {} set default_transaction_isolation = 'repeatable read'").format(
                Identifier(connection.info.dbname)
            )
        )
    known = {"QGJOB_DATABASE_URL": database_url, "QGJOB_STORE_URL": tmp_path.as_uri()}
    done = subprocess.run([sys.executable, "-m", *service], capture_output=True, text=True, timeout=60,
                          env=os.environ | known, cwd=CHECKOUT, check=False)  # fmt: skip
    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr.splitlines()[-1].endswith("alter role … set default_transaction_isolation = 'read committed'")
