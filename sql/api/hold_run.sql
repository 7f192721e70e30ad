-- The client that waits for this run is there, and says so again within p_client_timeout_s: else it is lost, and
-- cancel_lost_clients cancels the run. Of an ended run nothing changes.
create or replace function qgjob.hold_run(p_run_id bigint, p_client_timeout_s integer) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp as $$
declare
  v_now timestamptz := qgjob.now();
begin
  if p_client_timeout_s is null or p_client_timeout_s not between 10 and 86400 then
    raise exception using errcode = 'QJ422', constraint = 'client_timeout_in_range', column = 'client_timeout_s',
      message = 'A client that waits says so again within 10 to 86400 seconds.';
  end if;
  -- Written at every fourth of the time only. A time further away than the timeout: the clock went back.
  update qgjob.run set client_timeout_s = p_client_timeout_s, client_until = v_now + make_interval(secs => p_client_timeout_s)
  where run_id = p_run_id and qgjob.may_see(org_id) and finished_at is null and cancelled_at is null
    and (client_until is null or client_timeout_s <> p_client_timeout_s
      or client_until not between v_now + make_interval(secs => 0.75 * p_client_timeout_s)
        and v_now + make_interval(secs => p_client_timeout_s));
end $$;
