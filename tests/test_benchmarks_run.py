"""The benchmarks run and tell what they should; how fast anything is, no test decides."""

import os
from importlib import import_module

import pytest
from bench.__main__ import ROWS
from bench.lab import TINY, Lab
from bench.records import HEADER, Record, cells, markdown
from conftest import SERVER


@pytest.fixture(scope="module")
def lab() -> Lab:
    # The suite's processes share one server.
    prefix = "bench_" + os.environ.get("PYTEST_XDIST_WORKER", "")
    lab = Lab(os.environ[SERVER], TINY, ("pgmq",), prefix=prefix, talk=False)
    lab.prepare()
    return lab


@pytest.mark.parametrize("row", ROWS)
def test_a_row_yields_complete_records(lab: Lab, row: str) -> None:
    records: list[Record] = list(import_module(f"bench.rows.{row}").measure(lab))
    assert records
    for record in records:
        assert record.min <= record.median <= record.max
        assert record.n >= 1
        assert record.bar or record.met is None  # what a peer did in no measurable time is not judged
        assert record.against is None or record.against in record.peers
        assert len(cells(record)) == len(HEADER)
    assert records[0].name in markdown(records, {"cores": 2})
