"""Prepared statements are on or off, and who has forgotten that a pooler needs them off is told so."""

import asyncio

import psycopg
import pytest
from engine import Engine
from processes import Services

import sql
from qgjob.models.fleet import Health

FORGET = "do $$ begin execute 'deallocate all'; end $$"  # unnoticed by the client, as behind a pooler


@pytest.mark.parametrize("service", [("api",), ("worker", "--executor", "simulated")])
def test_the_setting_is_on_or_off(services: Services, service: tuple[str, ...]) -> None:
    child = services.start("service", *service, QGJOB_PREPARED_STATEMENTS="no")
    assert child.process.wait(60) == 2
    assert "QGJOB_PREPARED_STATEMENTS is on or off, not 'no'" in child.last_lines()


@pytest.mark.parametrize("setting", ["on", "off"])
def test_a_statement_that_the_server_does_not_know_hints_at_the_setting(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    monkeypatch.setenv("QGJOB_PREPARED_STATEMENTS", setting)

    async def ask() -> None:
        async with sql.open_pool(engine.url, size=1) as db:
            for _ in range(10):
                await sql.one(db, Health, "get_health")
            async with db.connection() as connection:
                await connection.execute(FORGET)
            await sql.one(db, Health, "get_health")

    if setting == "off":
        asyncio.run(ask())
    else:
        with pytest.raises(psycopg.errors.InvalidSqlStatementName, match="set QGJOB_PREPARED_STATEMENTS=off"):
            asyncio.run(ask())
