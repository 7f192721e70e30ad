"""The check of a job's path, made inline: called once for every submitted job and once more for its row."""

from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.execute(
        r"""
        -- As before, but not strict: PostgreSQL writes no strict function into the query that calls it, and calling
        -- one took most of what the check costs.
        create or replace function qgjob.is_test_path(p_path text) returns boolean
        language sql immutable parallel safe as $$
          select length(p_path) <= 512
            and p_path ~ '^[^/\\\x01-\x1f\x7f-][^\\\x01-\x1f\x7f]*$'
            and p_path !~ '(^|/)\.{0,2}(/|$)'
        $$;
        """
    )
