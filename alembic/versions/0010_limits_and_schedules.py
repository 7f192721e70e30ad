"""Quotas and grouping of organisations, schedules, and what is counted for monitoring."""

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.execute(
        r"""
        -- null: no limit. group_by: the labels of a run that keep its jobs apart from those of other runs.
        alter table qgjob.org
          add column max_pending_jobs integer,
          add column requests_per_minute integer,
          add column group_by text[] not null default '{}',
          add constraint max_pending_jobs_is_positive check (max_pending_jobs > 0),
          add constraint requests_per_minute_is_positive check (requests_per_minute > 0),
          add constraint group_by_is_short check (cardinality(group_by) <= 4);

        -- At least as many jobs are pending as the quota counts: submissions add to it, claims do not, and it is put
        -- right by counting when it reaches the quota. Only organisations with a quota have a row.
        create table qgjob.pending_count (
          org_id text primary key references qgjob.org,
          at_most integer not null
        ) with (fillfactor = 50);

        -- grouped_by: the labels that the organisation groups by, as the group's runs had them.
        alter table qgjob.job_group
          add column grouped_by jsonb not null default '{}',
          drop constraint group_is_unique,
          add constraint group_is_unique unique (org_id, app_version_id, target, selector, reset, grouped_by);

        -- traceparent: W3C trace context of the submission, continued by the workers.
        alter table qgjob.run add column traceparent text,
          add constraint traceparent_is_w3c check (traceparent ~ '^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$');

        -- A schedule without a next_at is one that has run (at), is paused, or was just written: whoever does the
        -- housekeeping works out when cron is next due.
        create table qgjob.schedule (
          schedule_id bigint generated always as identity primary key,
          org_id text not null references qgjob.org,
          name text not null,
          cron text,
          time_zone text not null,
          at timestamptz,
          app_version_id text,
          jobs jsonb not null,
          defaults jsonb not null,
          labels jsonb not null,
          enabled boolean not null default true,
          next_at timestamptz,
          last_at timestamptz,
          last_run_id bigint references qgjob.run,
          last_error text,
          created_at timestamptz not null,
          constraint schedule_name_is_unique unique (org_id, name),
          constraint name_is_a_name check (qgjob.is_name(name)),
          constraint schedule_has_one_time check (num_nonnulls(cron, at) = 1),
          constraint cron_is_short check (length(cron) between 1 and 200),
          constraint time_zone_is_short check (length(time_zone) between 1 and 64)
        );
        create index due_schedules on qgjob.schedule (next_at) where enabled and next_at is not null;
        create index schedules_to_compute on qgjob.schedule (schedule_id)
          where enabled and next_at is null and cron is not null;

        create type qgjob.schedule_details as (
          schedule_id bigint, org_id text, name text, status text, cron text, time_zone text, at timestamptz,
          app_version_id text, jobs jsonb, defaults jsonb, labels jsonb, next_at timestamptz, last_at timestamptz,
          last_run_id bigint, last_error text, created_at timestamptz
        );
        create type qgjob.org_details as (
          org_id text, weight real, max_devices integer, max_pending_jobs integer, requests_per_minute integer,
          group_by text[], devices integer, created_at timestamptz, pending integer
        );

        -- How many jobs were pending when somebody last counted for monitoring. Lost in a crash: it is counted again.
        create unlogged table qgjob.pending_sample (
          target text primary key,
          pending bigint not null,
          counted_at timestamptz not null,
          took_s double precision not null
        );

        -- Counters for monitoring. Sequences, because counting must neither wait nor make anybody wait: what is rolled
        -- back stays counted, and a crash may skip up to 32.
        create sequence qgjob.count_claims;
        create sequence qgjob.count_expired;
        create sequence qgjob.count_installs;
        create sequence qgjob.count_attempts;
        create sequence qgjob.count_avoided;
        """
    )
    # Claims by how long the group's oldest job had waited, in buckets; see qgjob.count_pick_up.
    for bucket in range(13):
        op.execute(f"create sequence qgjob.count_pick_up_{bucket}")
