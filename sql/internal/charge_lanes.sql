-- Charge organisations for the device-seconds of these batches, which have just ended or go on: every lane of the
-- organisation in which jobs might have waited for the device, for its share of such devices is one, and the batch's own.
-- Lanes at rest take over what the others were charged when they are activated; only what was charged ahead of its use,
-- and is taken off now, may have come to them before they were put to rest.
-- Of a lost worker nothing is known after its lease; a clock that jumps charges nobody.
create or replace function qgjob.charge_lanes(p_batch_ids bigint[]) returns void language plpgsql volatile as $$
declare
  v_now timestamptz := qgjob.now();
  v_lanes bigint[];
begin
  v_lanes := array(
    select lane.lane_id
    from qgjob.batch join qgjob.device using (device_id) join qgjob.job_group using (group_id)
    cross join lateral (  -- offset 0: or plans of small tables begin with the lanes of everybody
      select lane_id from qgjob.lane
      where lane.org_id = batch.org_id and lane.target = device.target
        and ((lane.active or batch.charged_s > 0) and device.labels @> lane.selector
          or lane.lane_id = job_group.lane_id) offset 0
    ) as lane
    where batch_id = any (p_batch_ids));
  perform from qgjob.lane where lane_id = any (v_lanes) order by lane_id for no key update;

  with used as materialized (
    select batch_id, batch.org_id, device.target, device.labels, job_group.lane_id, charged_s,
      qgjob.is_own(device.org_ids, batch.org_id) as is_own,
      greatest(0, extract(epoch from least(coalesce(ended_at, v_now), expires_at) - claimed_at)) as device_s
    from qgjob.batch join qgjob.device using (device_id) join qgjob.job_group using (group_id)
    where batch_id = any (p_batch_ids)
  ), due as (
    select lane.lane_id, sum((case when is_own then 0 else device_s end - charged_s) / org.weight) as pass,
      bool_or(used.lane_id = lane.lane_id and not is_own) as served
    from used
    join qgjob.org using (org_id)
    join qgjob.lane on lane.lane_id = any (v_lanes) and lane.org_id = used.org_id and lane.target = used.target
      and (used.labels @> lane.selector or lane.lane_id = used.lane_id)
    group by lane.lane_id
  ), charged as (
    update qgjob.batch set charged_s = case when is_own then 0 else device_s end
    from used where batch.batch_id = used.batch_id and batch.ended_at is null
  )
  update qgjob.lane set pass = greatest(0, lane.pass + due.pass),
    served_at = case when served then v_now else lane.served_at end
  from due where lane.lane_id = due.lane_id;
end $$;
