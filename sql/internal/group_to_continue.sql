-- The group with whose next jobs the device goes on, for it holds their build; null: there is none, or should_yield.
create or replace function qgjob.group_to_continue(p_device qgjob.device) returns bigint language plpgsql volatile as $$
declare
  v_group qgjob.job_group;
begin
  select * into v_group from qgjob.job_group
  -- `is true`: or plans that were made when there was little read all of the target.
  where build = p_device.installed_build and (target = p_device.target) is true and head_priority is not null
    and p_device.labels @> selector and qgjob.serves(p_device.org_ids, org_id)
  order by head_priority desc, rank_at limit 1;
  return case when found and not qgjob.should_yield(p_device, v_group) then v_group.group_id end;
end $$;
