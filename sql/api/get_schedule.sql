-- One schedule. p_org_id null: of any organisation.
create or replace function qgjob.get_schedule(p_schedule_id bigint, p_org_id text default null)
returns setof qgjob.schedule_details language plpgsql stable as $$
begin
  return query select * from qgjob.list_schedules(p_org_id, p_schedule_id) where p_schedule_id is not null;
  if not found then
    raise exception using errcode = 'QJ404', constraint = 'schedule_exists',
      message = format('There is no schedule %s.', p_schedule_id);
  end if;
end $$;
