-- Charge for the batches that have used a minute more than they were charged for; whether there were any. Else whoever runs
-- tests for hours would be given one device after the other before it is charged for the first.
create or replace function qgjob.charge_on_the_way() returns boolean language plpgsql volatile as $$
declare
  c_late_s constant double precision := 60;
  v_batches bigint[];
  v_most_s double precision;
begin
  select array_agg(batch_id), max(late.s) into v_batches, v_most_s
  from qgjob.batch join qgjob.device using (device_id), lateral (
    select extract(epoch from least(qgjob.now(), expires_at) - claimed_at) - charged_s as s
  ) as late
  where ended_at is null and late.s > c_late_s / 2 and not qgjob.is_own(org_ids, batch.org_id);
  if v_most_s is null or v_most_s < c_late_s then
    return false;
  end if;
  v_batches := array(
    select batch_id from qgjob.batch where batch_id = any (v_batches) and ended_at is null
    order by batch_id for no key update skip locked);
  perform qgjob.charge_lanes(v_batches);
  return true;
end $$;
