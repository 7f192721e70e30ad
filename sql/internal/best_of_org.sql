-- The best_group for this device of all of the organisation's lanes.
drop function if exists qgjob.best_of_org(text, qgjob.device);
create or replace function qgjob.best_of_org(p_org_id text, p_device qgjob.device, p_except bigint[]) returns bigint
language sql volatile
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
  select job_group.group_id
  from qgjob.lanes_of_org(p_org_id, p_device) as lane, lateral (
    select qgjob.best_group(lane.lane_id, p_except) as group_id offset 0
  ) as best
  join qgjob.job_group using (group_id)
  order by head_priority desc, (devices > 0), rank_at limit 1
$$;
