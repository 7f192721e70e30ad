-- Charge organisations for the device-seconds of these batches, which have just ended: every lane of the organisation for
-- the target, for its share of such devices is one. What a claim charged in advance is taken off the lane that it charged.
-- Of a lost worker nothing is known after its lease; a clock that jumps charges nobody.
create or replace function qgjob.charge_lanes(p_batch_ids bigint[]) returns void language plpgsql volatile as $$
declare
  v_now timestamptz := qgjob.now();
begin
  perform from qgjob.lane
  where org_id in (select batch.org_id from qgjob.batch where batch_id = any (p_batch_ids))
  order by lane_id for no key update;

  with ended as materialized (
    select charged_s, greatest(0, extract(epoch from least(ended_at, expires_at) - claimed_at)) as device_s,
      (select lane_id from qgjob.job_group where job_group.group_id = batch.group_id) as lane_id
    from qgjob.batch where batch_id = any (p_batch_ids)
  ), served as (
    select lane_id, sum(charged_s) as charged_s, sum(device_s) as device_s from ended group by lane_id
  ), used as (
    select lane.org_id, lane.target, sum(served.device_s) as device_s
    from served join qgjob.lane using (lane_id) group by lane.org_id, lane.target
  ), due as (
    select mine.lane_id, (used.device_s - coalesce(served.charged_s, 0)) / org.weight as pass,
      case when served.lane_id is not null then v_now end as served_at
    from used
    join qgjob.org using (org_id)
    join qgjob.lane as mine on mine.org_id = used.org_id and mine.target = used.target
    left join served on served.lane_id = mine.lane_id
  )
  update qgjob.lane set pass = greatest(0, lane.pass + due.pass), served_at = coalesce(due.served_at, lane.served_at)
  from due where lane.lane_id = due.lane_id;
end $$;
