-- retry_run and hold_run at once; see submit_held_run.
create or replace function qgjob.retry_held_run(
  p_client_timeout_s integer, p_run_id bigint, p_only text default 'failed', p_idempotency_key text default null,
  p_org_id text default null
) returns qgjob.submitted language plpgsql volatile as $$
declare
  v_submitted qgjob.submitted := qgjob.retry_run(
    p_run_id => p_run_id, p_only => p_only, p_idempotency_key => p_idempotency_key, p_org_id => p_org_id);
begin
  perform qgjob.hold_run(v_submitted.run_id, p_client_timeout_s);
  return v_submitted;
end $$;
