"""What is published is the client, and only that."""

import subprocess
import sys
import zipfile
from pathlib import Path

from processes import CHECKOUT


def test_the_migrations_folder_is_no_package() -> None:
    # With an __init__.py it would hide the alembic library from python -m alembic, pytest and the type checkers.
    assert not (CHECKOUT / "alembic" / "__init__.py").exists()


def test_the_wheel_holds_the_client_only(tmp_path: Path) -> None:
    subprocess.run(
        [Path(sys.executable).with_name("uv"), "build", "--wheel", "--no-build-isolation", "--offline", "--out-dir",
         tmp_path, CHECKOUT],
        check=True, capture_output=True, timeout=120,
        env={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(tmp_path)},
    )  # fmt: skip
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        folders = {name.split("/")[0] for name in wheel.namelist()}
    assert {folder for folder in folders if not folder.endswith(".dist-info")} == {"qgjob"}


def test_the_client_needs_neither_database_nor_server() -> None:
    banned = "psycopg", "sqlalchemy", "alembic", "litestar", "uvicorn", "pgmq"
    code = f"import sys\nfor name in {banned!r}: sys.modules[name] = None\nimport qgjob.cli, qgjob.client"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
