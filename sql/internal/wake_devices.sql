-- Hint to idle devices of these targets that there may be work: one notification per target and idle spell, because
-- whoever sends it also forgets that they wait, and what is locked somebody else is just forgetting.
create or replace function qgjob.wake_devices(p_targets text[]) returns void language plpgsql volatile as $$
declare
  v_woken text[];
begin
  with woken as (
    delete from qgjob.waiting_device where device_id in (
      select device_id from qgjob.waiting_device where target = any (p_targets)
      for update skip locked
    )
    returning target
  )
  select array_agg(distinct target) into v_woken from woken;
  perform pg_notify('qgjob_work', target) from unnest(v_woken) as target;
end $$;
