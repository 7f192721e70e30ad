-- Some of these jobs have become pending: activate their lanes, and make sure that each group's head is at least as high
-- and as old as they are. The key share lock is what keeps the head an upper bound: lower_head skips a group that anyone holds it
-- on, and whoever waits here for lower_head to commit reads the lowered head afterwards.
create or replace function qgjob.raise_heads(p_job_ids bigint[]) returns void language plpgsql volatile as $$
declare
  v_now timestamptz := qgjob.now();
  v_groups bigint[];
begin
  -- Materialized, or a database without statistics walks through the index of all pending jobs instead of these.
  with job as materialized (select group_id, status from qgjob.job where job_id = any (p_job_ids))
  select coalesce(array_agg(distinct group_id), '{}') into v_groups from job where status = 'pending';
  if v_groups = '{}' then
    return;
  end if;
  perform qgjob.activate_lanes(array(select lane_id from qgjob.job_group where group_id = any (v_groups)));
  perform from qgjob.job_group where group_id = any (v_groups) order by group_id for key share;

  with job as materialized (
    select group_id, status, priority, created_at, predicted_s from qgjob.job where job_id = any (p_job_ids)
  ), head as (
    select group_id, max(priority) as priority, min(created_at) as at, sum(predicted_s) as work_s
    from job where status = 'pending'
    group by group_id
  ), lower as (
    select job_group.group_id, head.priority, head.at, head.work_s
    from qgjob.job_group join head using (group_id)
    where job_group.head_priority is null or job_group.head_priority < head.priority or job_group.head_at > head.at
    order by job_group.group_id
    for no key update of job_group
  )
  update qgjob.job_group set
    head_priority = greatest(head_priority, lower.priority),
    head_at = least(head_at, lower.at),
    rank_at = coalesce(rank_at, v_now + make_interval(secs => lower.work_s))
  from lower where job_group.group_id = lower.group_id;
end $$;
