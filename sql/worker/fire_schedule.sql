-- Submit the run of a schedule that is due, and say when it is due next; where p_due_at is null, only the latter. Many
-- processes may call it with what due_schedules told them: only the one that finds the schedule as it was told changes
-- it, in the transaction of the submission, so that nothing fires twice. No row: somebody else did it, or it was changed
-- meanwhile. A submission that is refused is told in last_error and tried again the next time, after a full quota in a
-- minute; p_error is why there will be no next time, and pauses the schedule.
create or replace function qgjob.fire_schedule(
  p_schedule_id bigint, p_cron text, p_time_zone text, p_due_at timestamptz, p_next_at timestamptz,
  p_error text default null
) returns table (run_id bigint, error text) language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  v_now timestamptz := qgjob.now();
  v_schedule qgjob.schedule;
  v_run qgjob.submitted;
  v_error text := p_error;
begin
  select * into v_schedule from qgjob.schedule
  where schedule_id = p_schedule_id and enabled and cron is not distinct from p_cron and time_zone = p_time_zone
    and next_at is not distinct from p_due_at and (p_due_at is null or p_due_at <= v_now)
  for no key update skip locked;
  if v_schedule.schedule_id is null then
    return;
  end if;
  if p_due_at is not null then
    begin
      v_run := qgjob.submit_schedule(
        v_schedule, format('schedule %s at %s', p_schedule_id, to_char(p_due_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS')));
    exception when others then
      -- Locks, resources and shutdowns pass: it is still due, and whoever called postpones it.
      if sqlstate like any (array['40%', '53%', '55%', '57%']) then
        raise;
      end if;
      v_error := coalesce(v_error, sqlerrm);
      if sqlstate = 'QJ429' then
        p_next_at := least(coalesce(p_next_at, 'infinity'), v_now + interval '1 min');
      end if;
    end;
  end if;
  update qgjob.schedule set next_at = p_next_at, enabled = p_error is null, last_error = v_error,
    last_at = case when p_due_at is null then last_at else v_now end,
    last_run_id = coalesce(v_run.run_id, last_run_id)
  where schedule_id = p_schedule_id;
  return query select v_run.run_id, v_error;
end $$;
