-- Charge organisations for the device-seconds of these batches, which have just ended: every lane of the organisation,
-- for its share is one. What a claim charged in advance is taken off the lane that it charged.
create or replace function qgjob.charge_lanes(p_batch_ids bigint[]) returns void language plpgsql volatile as $$
begin
  perform from qgjob.lane
  where org_id in (select batch.org_id from qgjob.batch where batch_id = any (p_batch_ids))
  order by lane_id for no key update;

  with used as (
    select batch.org_id, sum(extract(epoch from ended_at - claimed_at)) as device_s
    from qgjob.batch where batch_id = any (p_batch_ids) group by batch.org_id
  ), advance as (
    select job_group.lane_id, sum(batch.charged_s) as charged_s
    from qgjob.batch join qgjob.job_group using (group_id)
    where batch_id = any (p_batch_ids) group by job_group.lane_id
  ), due as (
    select mine.lane_id, (used.device_s - coalesce(advance.charged_s, 0)) / org.weight as pass
    from used
    join qgjob.org on org.org_id = used.org_id
    join qgjob.lane as mine on mine.org_id = used.org_id
    left join advance on advance.lane_id = mine.lane_id
  )
  update qgjob.lane set pass = greatest(0, lane.pass + due.pass) from due where lane.lane_id = due.lane_id;
end $$;
