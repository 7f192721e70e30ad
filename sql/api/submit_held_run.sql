-- submit_run and hold_run at once: no moment in which the client can get lost and the run goes on for nobody.
create or replace function qgjob.submit_held_run(
  p_client_timeout_s integer, p_org_id text, p_app_version_id text, p_jobs jsonb, p_defaults jsonb default '{}',
  p_labels jsonb default '{}', p_idempotency_key text default null, p_traceparent text default null
) returns qgjob.submitted language plpgsql volatile as $$
declare
  v_submitted qgjob.submitted := qgjob.submit_run(
    p_org_id => p_org_id, p_app_version_id => p_app_version_id, p_jobs => p_jobs, p_defaults => p_defaults,
    p_labels => p_labels, p_idempotency_key => p_idempotency_key,
    p_traceparent => p_traceparent);
begin
  perform qgjob.hold_run(v_submitted.run_id, p_client_timeout_s);
  return v_submitted;
end $$;
