-- The device has lost a batch, or this job of one, for this reason. After three losses in a row it is quarantined; after
-- each further one, again. The same job once more says nothing new of the device. The caller holds the device.
create or replace function qgjob.strike_device(p_device_id bigint, p_reason text, p_job_id bigint default null)
returns void language plpgsql volatile set enable_seqscan = off as $$
declare
  c_most constant integer := 3;
  v_strikes integer;
begin
  update qgjob.device set strikes = strikes + 1, lost_job_id = p_job_id
  where device_id = p_device_id and (p_job_id is null or lost_job_id is distinct from p_job_id)
  returning strikes into v_strikes;
  if v_strikes >= c_most then
    perform qgjob.quarantine(p_device_id, 'health',
      format('%s losses in a row. The last: %s', v_strikes, coalesce(p_reason, 'no reason was given.')));
  end if;
end $$;
