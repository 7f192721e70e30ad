"""What submissions need to be accepted many at a time, and to cost the same however many lanes there are."""

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

        -- A run that is asked for; number: its place among those that come with it.
        create type qgjob.run_request as (
          number bigint, run_id bigint, org_id text, app_version_id text, labels jsonb, grouped_by jsonb,
          idempotency_key text, request_hash bytea, traceparent text
        );
        alter type qgjob.wanted_job add attribute org_id text, add attribute run_ids bigint[];

        -- The furthest lane of an organisation is asked for whenever another of its lanes becomes active.
        create index passes_of_org on qgjob.lane (org_id, pass);
        """
    )
