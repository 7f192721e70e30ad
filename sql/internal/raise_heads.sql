-- Some of these jobs have become pending: make sure that each group's head is at least as high and as old as they are.
-- The key share lock is what keeps the head an upper bound: lower_head skips a group that anyone holds it on, and whoever
-- waits here for lower_head to commit reads the lowered head afterwards.
create or replace function qgjob.raise_heads(p_job_ids bigint[]) returns void language plpgsql volatile as $$
begin
  perform from qgjob.job_group
  where group_id in (select group_id from qgjob.job where job_id = any (p_job_ids) and status = 'pending')
  order by group_id for key share;

  with head as (
    select distinct on (group_id) group_id, priority, created_at
    from qgjob.job where job_id = any (p_job_ids) and status = 'pending'
    order by group_id, priority desc, job_id
  ), lower as (
    select job_group.group_id, head.priority, head.created_at
    from qgjob.job_group join head using (group_id)
    where job_group.head_priority is null or job_group.head_priority < head.priority
       or (job_group.head_priority = head.priority and job_group.head_at > head.created_at)
    order by job_group.group_id
    for no key update of job_group
  )
  update qgjob.job_group set head_priority = lower.priority, head_at = lower.created_at
  from lower where job_group.group_id = lower.group_id
    and (job_group.head_priority is null or job_group.head_priority <= lower.priority);
end $$;
