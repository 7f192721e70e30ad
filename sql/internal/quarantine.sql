-- Keep the device from further batches: because of its health until a probe finds it well, or because a person says so
-- until one says otherwise. Its worker hears of it, finishes the running test and gives back the rest.
create or replace function qgjob.quarantine(p_device_id bigint, p_by text, p_reason text) returns void
language plpgsql volatile set enable_seqscan = off as $$
declare
  v_before qgjob.device;
begin
  select * into v_before from qgjob.device where device_id = p_device_id for no key update;
  if v_before.quarantined_by = 'person' and p_by = 'health' then
    return;
  end if;
  update qgjob.device set
    quarantined_at = case when quarantined_by = p_by then quarantined_at else qgjob.now() end,
    quarantined_by = p_by, quarantine_reason = left(p_reason, 1000)
  where device_id = p_device_id;
  if v_before.quarantined_at is null then
    perform qgjob.emit('device.quarantined', jsonb_build_object(
      'device_id', p_device_id, 'device', v_before.name, 'by', p_by, 'reason', left(p_reason, 1000)));
  end if;
  perform qgjob.call_workers(array[v_before.worker_id]) where v_before.worker_id is not null;
end $$;
