-- What did not simply pass in a run, and why: failed, lost to infrastructure (`infrastructure`), cancelled, passed after
-- a failure (`flaky`), in this order. message, title, line, device and video are those of the attempt that failed last;
-- line is where in the spec file, as far as the test runner said. `cancelled` are also jobs that were left to another run.
create or replace function qgjob.list_failures(
  p_run_id bigint, p_limit integer default 100, p_org_id text default null
) returns table (
  job_id bigint, test_path text, target text, selector jsonb, app_version_id text, verdict text, failure_kind text,
  message text, attempts smallint, device text, title text, line integer, video_url text, video_offset_s double precision,
  log_tail text
) language plpgsql stable set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
#variable_conflict use_column
declare
  c_verdicts constant text[] := array['failed', 'infrastructure', 'cancelled', 'flaky'];
begin
  perform qgjob.require_run(p_run_id, p_org_id);
  return query
  select found.job_id, found.test_path, job_group.target, job_group.selector, job_group.app_version_id, found.verdict,
    found.failure_kind, coalesce(found.message, failed.message), found.attempts, failed.device, failed.test ->> 'title',
    case when failed.test ->> 'line' ~ '^[1-9][0-9]{0,8}$' then (failed.test ->> 'line')::integer end,
    failed.video_url, failed.video_offset_s, failed.log_tail
  from (
    select job.job_id, job.group_id, job.test_path, job.failure_kind, job.message, job.attempts, verdict
    from qgjob.job_of_run as job
    cross join lateral (
      select case when job.abandoned or job.status = 'cancelled' then 'cancelled'
        when job.failure_kind = 'infrastructure' then 'infrastructure'
        when job.status = 'failed' then 'failed' else 'flaky' end as verdict
    ) as told
    where job.run_id = p_run_id and (job.abandoned or job.flaky or job.status in ('failed', 'cancelled'))
    order by array_position(c_verdicts, verdict), job.test_path, job.job_id
    limit qgjob.page_limit(p_limit)
  ) as found
  join qgjob.job_group using (group_id)
  left join lateral (
    select attempts.message, attempts.device, attempts.video_url, attempts.video_offset_s, attempts.log_tail,
      jsonb_path_query_first(attempts.tests, '$[*] ? (@.status == "failed" || @.status == "timed_out")') as test
    from reporting.attempts
    where attempts.job_id = found.job_id and attempts.status = 'failed'
    order by attempts.number desc limit 1
  ) as failed on true
  order by array_position(c_verdicts, found.verdict), found.test_path, found.job_id;
end $$;
