-- Submit again what did not pass in this run (`failed`: failed, cancelled, or left to another run when this one was
-- cancelled), or all of it, as a new run. The new jobs name the ones they repeat. p_client_timeout_s: see submit_run.
drop function if exists qgjob.retry_run(bigint, text, text, text);
create or replace function qgjob.retry_run(
  p_run_id bigint, p_only text default 'failed', p_idempotency_key text default null, p_org_id text default null,
  p_client_timeout_s integer default null
) returns qgjob.submitted language plpgsql volatile set enable_seqscan = off as $$
declare
  v_run qgjob.run := qgjob.require_run(p_run_id, p_org_id);
  v_jobs bigint[];
  v_again qgjob.submitted;
begin
  if p_only not in ('failed', 'all') then
    raise exception using errcode = 'QJ422', constraint = 'only_is_known', column = 'only',
      message = 'Retry only the failed jobs (failed) or all of them (all).';
  end if;
  v_jobs := array(
    select job_id from qgjob.job_of_run
    where run_id = p_run_id and (p_only = 'all' or abandoned or status in ('failed', 'cancelled'))
    order by job_id);
  if cardinality(v_jobs) = 0 then
    raise exception using errcode = 'QJ409', constraint = 'something_failed',
      message = format('Nothing in run %s has failed.', p_run_id), hint = 'Retry all of it: only=all, or --only=all of qgjob.';
  end if;
  v_again := qgjob.submit_again(v_run.org_id, v_run.app_version_id, v_jobs, v_run.labels,
    jsonb_build_object('retry_of', p_run_id, 'only', p_only), p_idempotency_key);
  if p_client_timeout_s is not null then
    perform qgjob.hold_run(v_again.run_id, p_client_timeout_s);
  end if;
  return v_again;
end $$;
