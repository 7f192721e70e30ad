-- Schedules by organisation and name. p_schedule_id: only that one.
create or replace function qgjob.list_schedules(p_org_id text default null, p_schedule_id bigint default null)
returns setof qgjob.schedule_details language sql stable as $$
  select * from reporting.schedules
  where (p_org_id is null or org_id = p_org_id) and (p_schedule_id is null or schedule_id = p_schedule_id)
  order by org_id, name
$$;
