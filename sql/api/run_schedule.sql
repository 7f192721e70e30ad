-- Submit a schedule's run now, also of one that is paused. When it is due next stays as it is.
create or replace function qgjob.run_schedule(
  p_schedule_id bigint, p_idempotency_key text default null, p_org_id text default null
) returns qgjob.submitted language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp as $$
declare
  v_schedule qgjob.schedule := qgjob.find_schedule(p_schedule_id, p_org_id);
  v_run qgjob.submitted := qgjob.submit_schedule(v_schedule, p_idempotency_key);
begin
  update qgjob.schedule set last_at = qgjob.now(), last_run_id = v_run.run_id, last_error = null
  where schedule_id = p_schedule_id;
  return v_run;
end $$;
