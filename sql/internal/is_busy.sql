-- Has the device a live batch, whoever's it is?
create or replace function qgjob.is_busy(p_device_id bigint) returns boolean language sql stable security definer
set search_path = pg_catalog, pg_temp as $$
  select exists (select from qgjob.batch where device_id = p_device_id and ended_at is null)
$$;
