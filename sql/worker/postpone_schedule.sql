-- A schedule that was due could not be fired for a passing reason: try again in a minute, after those that are due by
-- then. Nothing changes where it has been fired or changed meanwhile, or somebody is at it.
create or replace function qgjob.postpone_schedule(p_schedule_id bigint, p_due_at timestamptz, p_error text)
returns void language sql volatile security definer
set search_path = pg_catalog, pg_temp as $$
  update qgjob.schedule set next_at = qgjob.now() + interval '1 min', last_error = left(p_error, 4000)
  where schedule_id = (
    select schedule_id from qgjob.schedule where schedule_id = p_schedule_id and enabled and next_at = p_due_at
    for no key update skip locked)
$$;
