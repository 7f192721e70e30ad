"""What is published is the client, and only that."""

import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

from guides import GUIDES, README, links
from processes import CHECKOUT

SHIPPED = (".github", "api", "qgjob", "sql", "worker")


def test_the_migrations_folder_is_no_package() -> None:
    # With an __init__.py it would hide the alembic library from python -m alembic, pytest and the type checkers.
    assert not (CHECKOUT / "alembic" / "__init__.py").exists()


def build(kind: str, folder: Path) -> None:
    subprocess.run(
        [Path(sys.executable).with_name("uv"), "build", kind, "--no-build-isolation", "--offline", "--out-dir",
         folder, CHECKOUT],
        check=True, capture_output=True, timeout=120,
        env={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(folder)},
    )  # fmt: skip


def test_the_wheel_holds_the_client_only(tmp_path: Path) -> None:
    build("--wheel", tmp_path)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        folders = {name.split("/")[0] for name in wheel.namelist()}
    assert {folder for folder in folders if not folder.endswith(".dist-info")} == {"qgjob"}


def test_the_links_of_the_readme_lead_somewhere_in_the_source_archive(tmp_path: Path) -> None:
    build("--sdist", tmp_path)
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {path.rstrip("/") for path, _ in links(GUIDES[README]) if path} <= names


def test_nothing_that_is_shipped_installs_somebody_elses_package() -> None:
    """The bare name belongs to others on the package index."""
    by_name = re.compile(
        r"""\b(pip install|uv tool install|uv add|pipx install|pipx run|uvx) (.* )?["']?qgjob(?!( @|[\w./-]))"""
    )
    files = [*CHECKOUT.glob("*"), *(each for name in SHIPPED for each in (CHECKOUT / name).rglob("*"))]
    text = {file: file.read_text(errors="replace") for file in files if file.is_file()}
    assert [str(file) for file, said in text.items() if by_name.search(said)] == []
    assert any("pip install" in said for said in text.values())


def test_the_client_needs_neither_database_nor_server() -> None:
    banned = "psycopg", "sqlalchemy", "alembic", "litestar", "uvicorn", "pgmq"
    code = f"import sys\nfor name in {banned!r}: sys.modules[name] = None\nimport qgjob.cli, qgjob.client"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
