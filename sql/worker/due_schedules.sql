-- The schedules that are due, and those whose next time has to be worked out (next_at is null), with the time it is now.
-- Whoever gets them works out the next time after `now` and calls fire_schedule.
create or replace function qgjob.due_schedules(p_limit integer default 100)
returns table (schedule_id bigint, cron text, time_zone text, next_at timestamptz, now timestamptz)
language sql volatile security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
  (
    select schedule_id, cron, time_zone, next_at, clock.now
    from qgjob.schedule, qgjob.now() as clock (now)
    where enabled and next_at <= clock.now
    order by next_at limit qgjob.page_limit(p_limit)
  ) union all (
    select schedule_id, cron, time_zone, next_at, clock.now
    from qgjob.schedule, qgjob.now() as clock (now)
    where enabled and next_at is null and cron is not null
    order by schedule_id limit qgjob.page_limit(p_limit)
  )
$$;
