-- The organisation's lanes that may wait for this device. Of many it is the 50 that were not served for longest.
create or replace function qgjob.lanes_of_org(p_org_id text, p_device qgjob.device) returns setof qgjob.lane
language sql volatile as $$
  select * from qgjob.lane
  where org_id = p_org_id and (target = p_device.target) is true and active  -- by organisation, as in choose_group
    and p_device.labels @> selector
  order by served_at nulls first, lane_id limit 50
$$;
