-- A new run of jobs like these, each naming the one it repeats.
--   p_what   what was asked for, by which a repeated idempotency key is known: the jobs may be others by then
drop function if exists qgjob.submit_again(text, text, bigint[], jsonb, text);
create or replace function qgjob.submit_again(
  p_org_id text, p_app_version_id text, p_job_ids bigint[], p_labels jsonb, p_what jsonb, p_idempotency_key text
) returns qgjob.submitted language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp as $$
declare
  v_submitted qgjob.submitted;
  v_there integer;
begin
  -- Nobody forgets them from here on.
  perform from qgjob.job where job_id = any (p_job_ids) order by job_id for key share;
  get diagnostics v_there = row_count;
  if v_there < cardinality(p_job_ids) then
    raise exception using errcode = 'QJ404', constraint = 'job_exists',
      message = 'These jobs have just been deleted: their organisation does not keep results for longer.';
  end if;
  select * into v_submitted from qgjob.accept_runs(
    array[(1, null, p_org_id, p_app_version_id, p_labels, null, p_idempotency_key,
      qgjob.submission_hash(p_idempotency_key, p_app_version_id, p_what, '{}', p_labels), null)::qgjob.run_request],
    array(
      select (test_path, target, selector, reset, priority, retries, timeout_s, dedupe)::qgjob.job_request
      from qgjob.job, lateral (
        select target, selector, reset from qgjob.job_group where job_group.group_id = job.group_id offset 0) as wanted
      where job_id = any (p_job_ids)
      order by job_id),
    false);

  if not v_submitted.replayed then
    perform qgjob.name_repeated(v_submitted.run_id, p_job_ids);
  end if;
  return v_submitted;
end $$;
