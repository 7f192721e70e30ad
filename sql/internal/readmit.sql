-- The device may have batches again.
create or replace function qgjob.readmit(p_device_id bigint) returns void language plpgsql volatile
set enable_seqscan = off as $$
declare
  v_device qgjob.device;
begin
  update qgjob.device set quarantined_at = null, quarantined_by = null, quarantine_reason = null
  where device_id = p_device_id and quarantined_at is not null
  returning * into v_device;
  if found then
    perform qgjob.emit('device.readmitted', jsonb_build_object('device_id', p_device_id, 'device', v_device.name));
    perform qgjob.call_workers(array[v_device.worker_id]) where v_device.worker_id is not null;
  end if;
end $$;
