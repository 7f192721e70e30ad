-- The device of this id, or a refusal. Locked, for what follows changes it.
create or replace function qgjob.require_device(p_device_id bigint) returns qgjob.device language plpgsql volatile as $$
declare
  v_device qgjob.device;
begin
  perform qgjob.refuse_shared(format('Device %s', p_device_id), org_ids) from qgjob.device where device_id = p_device_id;
  select * into v_device from qgjob.device where device_id = p_device_id
    and (qgjob.may_see(null) or array_length(org_ids, 1) = 1 and qgjob.may_see(org_ids[1])) for no key update;
  if v_device.device_id is null then
    raise exception using errcode = 'QJ404', constraint = 'device_exists',
      message = format('There is no device %s.', p_device_id);
  end if;
  return v_device;
end $$;
