-- These batches have just ended: charge for them, and count their devices no longer among those of their groups.
create or replace function qgjob.leave_groups(p_batch_ids bigint[]) returns void language plpgsql volatile as $$
begin
  perform qgjob.charge_lanes(p_batch_ids);
  perform from qgjob.job_group
  where group_id in (select group_id from qgjob.batch where batch_id = any (p_batch_ids))
  order by group_id for no key update;
  update qgjob.job_group set devices = devices - ended.batches
  from (
    select group_id, count(*)::integer as batches from qgjob.batch where batch_id = any (p_batch_ids) group by group_id
  ) as ended
  where job_group.group_id = ended.group_id;
end $$;
