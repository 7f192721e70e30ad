-- A person takes a device out of use: it finishes the running test and gets no further batch until readmit_device.
create or replace function qgjob.quarantine_device(p_device_id bigint, p_reason text)
returns setof qgjob.device_details language plpgsql volatile as $$
begin
  perform qgjob.require_device(p_device_id);
  if p_reason is null or length(trim(p_reason)) not between 1 and 1000 then
    raise exception using errcode = 'QJ422', constraint = 'quarantine_has_a_reason', column = 'reason',
      message = 'Say why, in 1 to 1000 characters: others will wonder.';
  end if;
  perform qgjob.quarantine(p_device_id, 'person', trim(p_reason));
  return query select * from qgjob.list_devices(p_device_id => p_device_id);
end $$;
