-- Hint to idle devices of these targets that there may be work: one notification per target and idle spell, because
-- whoever sends it also clears the devices' flags, and locked flags are being cleared by somebody else.
create or replace function qgjob.wake_devices(p_targets text[]) returns void language plpgsql volatile as $$
declare
  v_woken text[];
begin
  with woken as (
    update qgjob.device set waiting = false
    where device_id in (
      select device_id from qgjob.device where waiting and target = any (p_targets)
      for no key update skip locked
    )
    returning target
  )
  select array_agg(distinct target) into v_woken from woken;
  perform pg_notify('qgjob_work', target) from unnest(v_woken) as target;
end $$;
