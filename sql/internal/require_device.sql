-- The device of this id, or a refusal. Locked, for what follows changes it.
create or replace function qgjob.require_device(p_device_id bigint) returns qgjob.device language plpgsql volatile as $$
declare
  v_device qgjob.device;
begin
  select * into v_device from qgjob.device where device_id = p_device_id for no key update;
  if v_device.device_id is null then
    raise exception using errcode = 'QJ404', constraint = 'device_exists',
      message = format('There is no device %s.', p_device_id);
  end if;
  return v_device;
end $$;
