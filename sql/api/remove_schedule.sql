-- Forget a schedule. Its runs stay.
create or replace function qgjob.remove_schedule(p_schedule_id bigint, p_org_id text default null) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp as $$
begin
  perform qgjob.find_schedule(p_schedule_id, p_org_id);
  delete from qgjob.schedule where schedule_id = p_schedule_id;
end $$;
