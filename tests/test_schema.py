"""The whole database on one page, reviewed with every change: tests/schema.txt. UPDATE_SCHEMA=1 writes it anew."""

import os
from pathlib import Path

from engine import Engine
from processes import CHECKOUT

PAGE = Path(__file__).with_name("schema.txt")

COLUMNS = """
  select table_schema || '.' || table_name as relation,
    format('%s %s%s', column_name, data_type, case when is_nullable = 'NO' then ' not null' else '' end) as line
  from information_schema.columns where table_schema in ('qgjob', 'reporting') order by 1, ordinal_position
"""
CONSTRAINTS = """
  select conrelid::regclass::text as relation, format('%s: %s', conname, pg_get_constraintdef(oid)) as line
  from pg_constraint
  where connamespace = 'qgjob'::regnamespace and conrelid <> 0 and contype <> 'n'  -- 18 stores not null there
  order by 1, conname
"""
INDEXES = """
  select format('%s.%s', schemaname, tablename) as relation, replace(indexdef, 'CREATE ', '') as line
  from pg_indexes where schemaname = 'qgjob' order by 1, indexname
"""
FUNCTIONS = """
  select format('%s(%s) -> %s', proname, pg_get_function_arguments(oid), pg_get_function_result(oid)) as line
  from pg_proc where pronamespace = 'qgjob'::regnamespace order by proname
"""
OBJECTS = """
  select proname as name from pg_proc where pronamespace = 'qgjob'::regnamespace
  union all
  select relname from pg_class where relnamespace = 'qgjob'::regnamespace and relkind = 'v'
"""


def page(engine: Engine) -> str:
    lines: list[str] = []
    for title, query in (("tables and views", COLUMNS), ("constraints", CONSTRAINTS), ("indexes", INDEXES)):
        lines += ["", f"# {title}"]
        relation = None
        for row in engine.rows(query):
            if row.relation != relation:
                relation = row.relation
                lines += ["", relation]
            lines.append(f"  {row.line}")
    lines += ["", "# functions", "", *(row.line for row in engine.rows(FUNCTIONS))]
    return "\n".join(line for line in lines).lstrip() + "\n"


def test_the_page_shows_the_database(engine: Engine) -> None:
    if "UPDATE_SCHEMA" in os.environ:
        PAGE.write_text(page(engine))
    assert page(engine) == PAGE.read_text(), "run UPDATE_SCHEMA=1 pytest tests/test_schema.py and review the difference"


def test_every_function_and_view_is_in_the_file_of_its_name(engine: Engine) -> None:
    in_tables = {"is_name", "keep_history"}  # constraints and triggers need them
    objects = {row.name for row in engine.rows(OBJECTS)} - in_tables
    files = {path.stem for path in (CHECKOUT / "sql").glob("*/*.sql") if path.parent.name != "reporting"}
    assert objects == files


def test_every_file_begins_by_saying_what_its_object_is_for() -> None:
    for path in (CHECKOUT / "sql").glob("*/*.sql"):
        assert path.read_text().startswith("-- "), path


def test_every_view_for_people_and_each_of_its_columns_says_what_it_is(engine: Engine) -> None:
    silent = engine.rows(
        "select relname, attname from pg_class left join pg_attribute on attrelid = pg_class.oid and attnum > 0 "
        "where relnamespace = 'reporting'::regnamespace and relkind = 'v' "
        "and (obj_description(pg_class.oid) is null or col_description(pg_class.oid, attnum) is null)"
    )
    assert silent == []
