-- The live_devices that take jobs of this group.
create or replace function qgjob.devices_for(p_group qgjob.job_group) returns setof qgjob.device language sql stable as $$
  select *
  from qgjob.live_devices() as device
  where target = p_group.target and labels @> p_group.selector and qgjob.serves(org_ids, p_group.org_id)
$$;
