-- The group with whose next jobs the device could go on where it holds this build, and why_yield; no row: there is none.
drop function if exists qgjob.group_to_continue(qgjob.device);
create or replace function qgjob.group_to_continue(p_device qgjob.device, p_build text)
returns table (group_id bigint, org_id text, head_priority smallint, yields text) language sql volatile as $$
  select group_id, org_id, head_priority, qgjob.why_yield(p_device, found)
  from (
    select * from qgjob.job_group
    -- `is true`: or plans that were made when there was little read all of the target.
    where build = p_build and (target = p_device.target) is true and head_priority is not null
      and p_device.labels @> selector and qgjob.serves(p_device.org_ids, org_id)
    order by head_priority desc, rank_at limit 1
  ) as found
$$;
