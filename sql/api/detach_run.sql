-- The client that waited for this run leaves on purpose: the run goes on without it.
create or replace function qgjob.detach_run(p_run_id bigint, p_org_id text default null)
returns setof qgjob.run_details language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp as $$
begin
  update qgjob.run set client_timeout_s = null, client_until = null
  where run_id = p_run_id and (p_org_id is null or org_id = p_org_id) and qgjob.may_see(org_id) and client_until is not null
    and finished_at is null and cancelled_at is null;
  return query select * from qgjob.get_run(p_run_id, p_org_id);
end $$;
