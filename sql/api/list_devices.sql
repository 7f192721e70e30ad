-- The devices, or one of them, by target and name.
drop function if exists qgjob.list_devices(text);
create or replace function qgjob.list_devices(p_target text default null, p_device_id bigint default null)
returns setof qgjob.device_details language sql stable as $$
  select device_id, name, target, labels, worker, status, installed_build, epoch, quarantined_at, quarantined_by,
    quarantine_reason, strikes
  from reporting.devices
  where (p_target is null or target = p_target) and (p_device_id is null or device_id = p_device_id)
  order by target, name
$$;
