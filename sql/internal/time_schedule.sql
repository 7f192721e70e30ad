-- When a schedule that was just written is due next: a cron expression is worked out by whoever does the housekeeping, so
-- null. What was due while it was paused is not made up for.
create or replace function qgjob.time_schedule(p_schedule qgjob.schedule) returns timestamptz language plpgsql volatile as $$
begin
  if p_schedule.enabled and p_schedule.at <= qgjob.now() then
    raise exception using errcode = 'QJ422', constraint = 'at_is_in_the_future', column = 'at',
      message = 'The time of a schedule lies in the future.', hint = 'Give it a new one, or run it now.';
  end if;
  return p_schedule.at;
end $$;
