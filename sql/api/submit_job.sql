-- Submit one job, as a run of its own; see submit_run.
drop function if exists qgjob.submit_job(text, text, jsonb, jsonb, text);
create or replace function qgjob.submit_job(
  p_org_id text, p_app_version_id text, p_job jsonb, p_labels jsonb default '{}', p_idempotency_key text default null,
  p_traceparent text default null
) returns table (job_id bigint, run_id bigint, status text, deduplicated boolean) language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp as $$
declare
  v_run qgjob.submitted := qgjob.submit_run(
    p_org_id, p_app_version_id, jsonb_build_array(p_job), '{}', p_labels, p_idempotency_key, p_traceparent);
begin
  return query select * from qgjob.as_job(v_run);
end $$;
