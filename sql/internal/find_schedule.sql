-- One schedule, locked. p_org_id null: of any organisation.
create or replace function qgjob.find_schedule(p_schedule_id bigint, p_org_id text) returns qgjob.schedule
language plpgsql volatile as $$
declare
  v_schedule qgjob.schedule;
begin
  select * into v_schedule from qgjob.schedule
  where schedule_id = p_schedule_id and (p_org_id is null or org_id = p_org_id) and qgjob.may_see(org_id)
  for no key update;
  if v_schedule.schedule_id is null then
    raise exception using errcode = 'QJ404', constraint = 'schedule_exists',
      message = format('There is no schedule %s.', p_schedule_id);
  end if;
  return v_schedule;
end $$;
