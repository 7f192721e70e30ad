-- Who takes a further device is charged at once for what it will probably use, and by charge_lanes for the rest: in every
-- lane of the organisation in which jobs might have waited for the device. Answers with the device-seconds. A lane that is
-- just being put to rest or activated is passed over, for it takes over what its siblings are charged.
create or replace function qgjob.charge_ahead(p_device qgjob.device, p_group qgjob.job_group, p_job_ids bigint[])
returns real language plpgsql volatile as $$
declare
  v_charged real := case when qgjob.is_own(p_device.org_ids, p_group.org_id) then 0
    else qgjob.install_s(p_group.org_id, p_group.target)
      + (select sum(predicted_s) from qgjob.job where job_id = any (p_job_ids)) end;
begin
  with own as materialized (
    select lane_id from qgjob.lane
    where org_id = p_group.org_id and (target = p_group.target) is true and active and p_device.labels @> selector
    order by lane_id for no key update skip locked
  )
  update qgjob.lane set
    pass = pass + v_charged / (select weight from qgjob.org where org.org_id = lane.org_id),
    served_at = case when lane_id = p_group.lane_id then qgjob.now() else served_at end
  where lane_id in (select lane_id from own);
  return v_charged;
end $$;
