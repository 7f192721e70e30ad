-- A person puts a device back into use, whatever had put it into quarantine; its losses are forgotten. May be repeated.
create or replace function qgjob.readmit_device(p_device_id bigint)
returns setof qgjob.device_details language plpgsql volatile as $$
begin
  perform qgjob.require_device(p_device_id);
  update qgjob.device set strikes = 0, lost_job_id = null where device_id = p_device_id;
  perform qgjob.readmit(p_device_id);
  return query select * from qgjob.list_devices(p_device_id => p_device_id);
end $$;
