-- The run that a schedule describes, of its build or of the newest one that the organisation has.
create or replace function qgjob.submit_schedule(p_schedule qgjob.schedule, p_idempotency_key text)
returns qgjob.submitted language plpgsql volatile as $$
declare
  v_app_version_id text := coalesce(p_schedule.app_version_id, (
    select app_version_id from qgjob.build where org_id = p_schedule.org_id
    order by created_at desc, app_version_id limit 1));
begin
  if v_app_version_id is null then
    raise exception using errcode = 'QJ409', constraint = 'org_has_a_build',
      message = format('%s has no build yet that schedule %s could test.', p_schedule.org_id, p_schedule.name),
      hint = 'Add a build, or name one in the schedule.';
  end if;
  return qgjob.submit_run(p_schedule.org_id, v_app_version_id, p_schedule.jobs, p_schedule.defaults,
    p_schedule.labels || jsonb_build_object('schedule', p_schedule.name), p_idempotency_key);
end $$;
