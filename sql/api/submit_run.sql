-- Submit up to 10,000 jobs as one run; see accept_runs. The same key with the same submission is answered again.
--   p_traceparent        W3C trace context that the workers continue
--   p_client_timeout_s   hold_run at once: no moment in which the client can get lost and the run goes on for nobody
drop function if exists qgjob.submit_run(text, text, jsonb, jsonb, jsonb, text, text);
create or replace function qgjob.submit_run(
  p_org_id text, p_app_version_id text, p_jobs jsonb, p_defaults jsonb default '{}', p_labels jsonb default '{}',
  p_idempotency_key text default null, p_traceparent text default null, p_client_timeout_s integer default null
) returns qgjob.submitted language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp as $$
declare
  v_run qgjob.submitted;
begin
  perform qgjob.check_labels(p_labels, 'run');
  select * into v_run from qgjob.accept_runs(
    array[(1, null, p_org_id, p_app_version_id, p_labels, null, p_idempotency_key,
      qgjob.submission_hash(p_idempotency_key, p_app_version_id, p_jobs, p_defaults, p_labels),
      p_traceparent)::qgjob.run_request],
    qgjob.read_jobs(p_jobs, p_defaults), false);
  if p_client_timeout_s is not null then
    perform qgjob.hold_run(v_run.run_id, p_client_timeout_s);
  end if;
  return v_run;
end $$;
