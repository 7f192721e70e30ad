"""Organisations, builds, runs, groups, jobs; workers, devices, batches, attempts."""

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.execute(
        r"""
        create schema reporting;

        -- Used by constraints, so they belong to the tables.
        create function qgjob.is_name(p_name text) returns boolean language sql immutable parallel safe as $$
          select coalesce(p_name ~ '^[A-Za-z0-9][A-Za-z0-9._+-]{0,127}$', false)
        $$;
        create function qgjob.is_test_path(p_path text) returns boolean
        language sql immutable strict parallel safe as $$
          select length(p_path) <= 512
            and p_path ~ '^[^/\\\x01-\x1f\x7f-][^\\\x01-\x1f\x7f]*$'
            and p_path !~ '(^|/)\.{0,2}(/|$)'
        $$;

        create table qgjob.org (
          org_id text primary key,
          weight real not null default 1,
          max_devices integer,
          created_at timestamptz not null,
          constraint weight_is_positive check (weight > 0),
          constraint max_devices_is_positive check (max_devices > 0),
          constraint org_id_is_a_name check (qgjob.is_name(org_id))
        );

        create table qgjob.build (
          org_id text not null references qgjob.org,
          app_version_id text not null,
          created_at timestamptz not null,
          primary key (org_id, app_version_id),
          constraint app_version_id_is_a_name check (qgjob.is_name(app_version_id))
        );

        -- What one organisation wants of one kind of device. pass counts the device-seconds it was given, divided by
        -- its weight: the lowest is served next. An inactive lane has no group with pending jobs.
        create table qgjob.lane (
          lane_id bigint generated always as identity primary key,
          org_id text not null references qgjob.org,
          target text not null,
          selector jsonb not null,
          active boolean not null default false,
          pass double precision not null default 0,
          constraint lane_is_unique unique (org_id, target, selector),
          constraint target_is_known check (target in ('emulator', 'device', 'browserstack'))
        ) with (fillfactor = 50);
        create index active_lanes on qgjob.lane (target, pass) where active;

        -- How long things take: moving averages of passing runs and of installs, in seconds.
        create table qgjob.test_timing (
          org_id text not null,
          test_path text not null,
          target text not null,
          platform text not null,
          mean_s real,
          failed_last boolean not null,
          primary key (org_id, target, platform, test_path)
        ) with (fillfactor = 70);
        create table qgjob.install_timing (
          org_id text not null,
          target text not null,
          mean_s real not null,
          primary key (org_id, target)
        ) with (fillfactor = 50);

        -- head_priority is an upper bound of the priorities of the group's pending jobs, null only when it has none;
        -- head_at is since when it waits, rank_at when it would be done if it were alone. devices counts the devices
        -- that hold live batches of it.
        create table qgjob.job_group (
          group_id bigint generated always as identity primary key,
          org_id text not null,
          app_version_id text not null,
          lane_id bigint not null references qgjob.lane,
          target text not null,
          selector jsonb not null,
          reset text not null,
          build text not null,
          devices integer not null default 0,
          head_priority smallint,
          head_at timestamptz,
          rank_at timestamptz,
          created_at timestamptz not null,
          constraint group_is_unique unique (org_id, app_version_id, target, selector, reset),
          constraint devices_are_counted check (devices >= 0),
          constraint group_has_a_build foreign key (org_id, app_version_id) references qgjob.build,
          constraint target_is_known check (target in ('emulator', 'device', 'browserstack')),
          constraint reset_is_known check (reset in ('reinstall', 'clear', 'restart', 'none')),
          constraint head_has_a_time
            check ((head_priority is null) = (head_at is null) and (head_priority is null) = (rank_at is null))
        ) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500);
        create index groups_of_lane on qgjob.job_group (lane_id, head_priority desc, (devices > 0), rank_at)
          where head_priority is not null;
        create index groups_of_build on qgjob.job_group (build, target) where head_priority is not null;
        create index oldest_groups on qgjob.job_group (target, head_at) where head_priority is not null;

        create table qgjob.worker (
          worker_id bigint generated always as identity primary key,
          name text not null,
          version text not null,
          targets text[] not null,
          lease_s integer not null,
          draining boolean not null default false,
          started_at timestamptz not null,
          seen_at timestamptz not null,
          ended_at timestamptz,
          constraint worker_name_is_short check (length(name) between 1 and 128),
          constraint lease_in_range check (lease_s between 1 and 3600)
        ) with (fillfactor = 50);
        create index workers_not_ended on qgjob.worker (seen_at) where ended_at is null;

        -- epoch grows with every batch; waiting says that a claim found nothing and a hint is wanted.
        create table qgjob.device (
          device_id bigint generated always as identity primary key,
          name text not null,
          target text not null,
          labels jsonb not null,
          worker_id bigint references qgjob.worker,
          epoch bigint not null default 0,
          installed_build text,
          installed_at timestamptz,
          waiting boolean not null default false,
          created_at timestamptz not null,
          constraint installed_build_has_a_time check ((installed_build is null) = (installed_at is null)),
          constraint device_name_is_unique unique (name),
          constraint device_name_is_short check (length(name) between 1 and 128),
          constraint target_is_known check (target in ('emulator', 'device', 'browserstack'))
        ) with (fillfactor = 50);
        create index devices_waiting on qgjob.device (target) where waiting;
        create index devices_of_worker on qgjob.device (worker_id);

        create table qgjob.batch (
          batch_id bigint generated always as identity primary key,
          org_id text not null,
          group_id bigint not null references qgjob.job_group,
          device_id bigint not null references qgjob.device,
          worker_id bigint not null references qgjob.worker,
          epoch bigint not null,
          install boolean not null,
          chosen text not null,
          charged_s real not null default 0,
          installed_at timestamptz,
          claimed_at timestamptz not null,
          expires_at timestamptz not null,
          ended_at timestamptz,
          end_reason text,
          constraint epoch_is_granted_once unique (device_id, epoch),
          constraint batch_of_one_group unique (batch_id, group_id),
          constraint ended_batch_has_a_reason check ((ended_at is null) = (end_reason is null)),
          constraint chosen_is_known check (chosen in ('continued', 'first', 'joined', 'taken back')),
          constraint end_reason_is_known check (end_reason in ('done', 'drained', 'unprepared', 'expired', 'replaced'))
        ) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500);
        create unique index device_holds_one_live_batch on qgjob.batch (device_id) where ended_at is null;
        create index live_batches_of_worker on qgjob.batch (worker_id) where ended_at is null;
        create index live_batches_of_group on qgjob.batch (group_id) where ended_at is null;
        create index live_batches_of_org on qgjob.batch (org_id) where ended_at is null;

        create table qgjob.run (
          run_id bigint generated always as identity primary key,
          org_id text not null,
          app_version_id text not null,
          idempotency_key text,
          request_hash bytea,
          labels jsonb not null,
          total integer not null,
          remaining integer not null,
          retry_of bigint references qgjob.run,
          watched_until timestamptz,
          created_at timestamptz not null,
          cancelled_at timestamptz,
          finished_at timestamptz,
          constraint run_has_a_build foreign key (org_id, app_version_id) references qgjob.build,
          constraint idempotency_key_is_used_once unique (org_id, idempotency_key),
          constraint idempotency_key_is_short check (length(idempotency_key) between 1 and 255),
          constraint remaining_in_range check (remaining between 0 and total),
          constraint run_is_finished_when_nothing_remains check ((remaining = 0) = (finished_at is not null))
        ) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500);
        create index runs_of_org on qgjob.run (org_id, run_id desc);

        -- version counts a job's changes; batch_id is the fence: only the lease named there may write.
        create table qgjob.job (
          job_id bigint generated always as identity primary key,
          org_id text not null,
          group_id bigint not null references qgjob.job_group,
          test_path text not null,
          priority smallint not null,
          retries smallint not null,
          timeout_s integer not null,
          dedupe boolean not null,
          predicted_s real not null,
          failed_before boolean not null,
          status text not null default 'pending',
          version integer not null default 1,
          batch_id bigint,
          attempts smallint not null default 0,
          test_failures smallint not null default 0,
          losses smallint not null default 0,
          failure_kind text,
          flaky boolean not null default false,
          message text,
          retry_of bigint references qgjob.job,
          cancel_requested_at timestamptz,
          created_at timestamptz not null,
          started_at timestamptz,
          finished_at timestamptz,
          constraint batch_never_mixes_builds
            foreign key (batch_id, group_id) references qgjob.batch (batch_id, group_id),
          constraint test_path_is_relative check (qgjob.is_test_path(test_path)),
          constraint priority_in_range check (priority between 0 and 3),
          constraint retries_in_range check (retries between 0 and 10),
          constraint timeout_in_range check (timeout_s between 1 and 86400),
          constraint status_is_known
            check (status in ('pending', 'queued', 'running', 'completed', 'failed', 'cancelled')),
          constraint only_a_leased_job_is_queued_or_running
            check ((status in ('queued', 'running')) = (batch_id is not null)),
          constraint a_final_job_has_an_end
            check ((status in ('completed', 'failed', 'cancelled')) = (finished_at is not null)),
          constraint a_failure_has_a_kind check ((status = 'failed') = (failure_kind is not null)),
          constraint failure_kind_is_known check (failure_kind in ('test', 'timeout', 'infrastructure')),
          constraint losses_are_finite check (losses <= 4)
        ) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500,
                autovacuum_analyze_scale_factor = 0.02);
        create index pending_jobs_of_group
          on qgjob.job (group_id, priority desc, failed_before desc, predicted_s desc, job_id) where status = 'pending';
        create index jobs_of_batch on qgjob.job (batch_id) where batch_id is not null;
        create index jobs_of_org on qgjob.job (org_id, job_id desc);
        create unique index job_is_waited_for_once on qgjob.job (group_id, test_path)
          where dedupe and finished_at is null and cancel_requested_at is null;

        create table qgjob.run_job (
          run_id bigint not null references qgjob.run,
          job_id bigint not null references qgjob.job,
          deduplicated boolean not null,
          abandoned boolean not null default false,
          primary key (run_id, job_id)
        );
        comment on column qgjob.run_job.abandoned is 'the run was cancelled, but another run still waits for this job';
        create index runs_of_job on qgjob.run_job (job_id);

        create table qgjob.attempt (
          job_id bigint not null references qgjob.job,
          number smallint not null,
          org_id text not null,
          batch_id bigint not null references qgjob.batch,
          status text not null,
          failure_kind text,
          message text,
          tests jsonb not null,
          log text not null,
          started_at timestamptz not null,
          ended_at timestamptz not null,
          primary key (job_id, number),
          constraint attempt_status_is_known check (status in ('completed', 'failed', 'cancelled')),
          constraint a_failed_attempt_has_a_kind check ((status = 'failed') = (failure_kind is not null)),
          constraint failure_kind_is_known check (failure_kind in ('test', 'timeout', 'infrastructure'))
        );
        create index attempts_of_batch on qgjob.attempt (batch_id);

        -- Emptied by crash recovery because it is unlogged: an empty table means "PostgreSQL has just crashed".
        create unlogged table qgjob.crash_marker (
          only_row boolean primary key default true check (only_row),
          written_at timestamptz not null
        );

        create type qgjob.job_details as (
          job_id bigint, run_id bigint, org_id text, app_version_id text, test_path text, target text, selector jsonb,
          reset text, priority text, status text, failure_kind text, flaky boolean, message text, attempts smallint,
          retries smallint, timeout_s integer, device text, worker text, retry_of bigint, cancel_requested boolean,
          created_at timestamptz, started_at timestamptz, finished_at timestamptz, duration_s double precision
        );
        create type qgjob.run_details as (
          run_id bigint, org_id text, app_version_id text, status text, seq bigint, total integer, pending integer,
          queued integer, running integer, completed integer, failed integer, cancelled integer,
          infrastructure integer, flaky integer, attempts integer, installs integer, install_s double precision,
          saved_s double precision, labels jsonb, created_at timestamptz, finished_at timestamptz
        );
        create type qgjob.cancellation as (cancelled integer, stopping integer);
        create type qgjob.job_request as (
          test_path text, target text, selector jsonb, reset text, priority smallint, retries smallint,
          timeout_s integer, dedupe boolean
        );
        create type qgjob.wanted_job as (
          job_id bigint, group_id bigint, test_path text, priority smallint, retries smallint, timeout_s integer,
          dedupe boolean, predicted_s real, failed_before boolean
        );
        create type qgjob.submitted as (
          run_id bigint, total integer, deduplicated integer, replayed boolean, job_ids bigint[]
        );
        """
    )
    op.execute(
        """
        create function qgjob.keep_history() returns trigger language plpgsql as $$
        begin
          raise exception using errcode = 'QJ409', constraint = tg_argv[0], message = tg_argv[1];
        end $$;
        create trigger attempts_are_append_only before update on qgjob.attempt
          for each row execute function qgjob.keep_history('attempts_are_append_only', 'An attempt never changes.');
        create trigger a_final_status_is_final before update on qgjob.job
          for each row when (old.finished_at is not null)
          execute function qgjob.keep_history('a_final_status_is_final', 'A job that has ended never changes.');
        """
    )
