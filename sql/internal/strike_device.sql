-- The device has lost a job or a batch once more, for this reason. After three losses in a row it is quarantined; after
-- each further one, again. The caller holds the device.
create or replace function qgjob.strike_device(p_device_id bigint, p_reason text) returns void language plpgsql volatile
set enable_seqscan = off as $$
declare
  c_most constant integer := 3;
  v_strikes integer;
begin
  update qgjob.device set strikes = strikes + 1 where device_id = p_device_id returning strikes into v_strikes;
  if v_strikes >= c_most then
    perform qgjob.quarantine(p_device_id, 'health',
      format('%s losses in a row. The last: %s', v_strikes, coalesce(p_reason, 'no reason was given.')));
  end if;
end $$;
