-- A worker has probed its device: p_complaint says why it cannot work, null that it can. A complaint quarantines it. Being
-- well ends such a quarantine; after losses in a row only when some time has passed, from a minute doubling to an hour,
-- because what the probe cannot see has cost jobs before. What a person has quarantined stays so.
create or replace function qgjob.report_health(p_worker_id bigint, p_device_id bigint, p_complaint text default null)
returns table (well boolean) language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
declare
  v_device qgjob.device;
begin
  select * into v_device from qgjob.device where device_id = p_device_id and worker_id = p_worker_id
    and qgjob.may_drive(p_worker_id) for no key update;
  if v_device.device_id is null then
    raise exception using errcode = 'QJ409', constraint = 'device_has_one_worker',
      message = format('Device %s is not driven by worker %s.', p_device_id, p_worker_id), hint = 'Register the device again.';
  end if;
  if p_complaint is not null then
    perform qgjob.quarantine(p_device_id, 'health', p_complaint);
  elsif v_device.quarantined_by = 'health' and (v_device.strikes < 3 or qgjob.now() >=
      v_device.quarantined_at + least(interval '1 h', interval '1 min' * 2 ^ least(10, v_device.strikes - 3))) then
    perform qgjob.readmit(p_device_id);
  end if;
  return query select quarantined_at is null from qgjob.device where device_id = p_device_id;
end $$;
