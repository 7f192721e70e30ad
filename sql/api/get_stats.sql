-- What was done so far, for one organisation or for all. `installs_avoided`: attempts that needed none of their own. A lost
-- device says nothing of a test, so `pass_rate` leaves out what failed for that. `wait_*_s`: from the submission to the last
-- start, of jobs with one attempt.
create or replace function qgjob.get_stats(p_org_id text default null)
returns table (
  org_id text, runs bigint, jobs bigint, pending bigint, queued bigint, running bigint, completed bigint, failed bigint,
  cancelled bigint, flaky bigint, pass_rate double precision, attempts bigint, installs bigint, installs_avoided bigint,
  install_s double precision, device_s double precision, saved_s double precision, wait_p50_s double precision,
  wait_p95_s double precision
) language sql stable as $$
  select p_org_id, (select count(*) from qgjob.run where p_org_id is null or run.org_id = p_org_id),
    job.jobs, job.pending, job.queued, job.running, job.completed, job.failed, job.cancelled, job.flaky,
    job.completed::double precision / nullif(job.completed + job.failed - job.infrastructure, 0),
    work.attempts, work.installs, work.avoided,
    work.install_s, work.device_s, work.saved_s,
    job.wait_p50_s, job.wait_p95_s
  from (
    select count(*) as jobs,
      count(*) filter (where status = 'pending') as pending, count(*) filter (where status = 'queued') as queued,
      count(*) filter (where status = 'running') as running, count(*) filter (where status = 'completed') as completed,
      count(*) filter (where status = 'failed') as failed, count(*) filter (where status = 'cancelled') as cancelled,
      count(*) filter (where failure_kind = 'infrastructure') as infrastructure, count(*) filter (where flaky) as flaky,
      percentile_cont(0.5) within group (order by waited_s) as wait_p50_s,
      percentile_cont(0.95) within group (order by waited_s) as wait_p95_s
    from qgjob.job, lateral (
      select case when attempts + (finished_at is null)::integer = 1
        then extract(epoch from started_at - created_at) end as waited_s
    ) as start
    where p_org_id is null or job.org_id = p_org_id
  ) as job, (
    select coalesce(sum(batches.attempts), 0)::bigint as attempts, count(*) filter (where installed) as installs,
      coalesce(sum(batches.avoided), 0)::bigint as avoided,
      avg(batches.install_s) as install_s, coalesce(sum(batches.device_s), 0) as device_s,
      coalesce(sum(batches.saved_s), 0) as saved_s
    from (  -- each has an index by organisation
      select * from reporting.batches where ended_at is null
      union all
      select * from reporting.batches where ended_at is not null
    ) as batches
    where p_org_id is null or batches.org_id = p_org_id
  ) as work
$$;
