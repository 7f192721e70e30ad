-- Some of these jobs have become pending: activate their lanes, and make sure that each group's head is at least as high
-- and as old as they are. The key share lock is what keeps the head an upper bound: lower_head skips a group that anyone
-- holds it on, and whoever waits here for lower_head to commit reads the lowered head afterwards.
-- p_limited: they are new, and there may be too many lanes for them.
drop function if exists qgjob.raise_heads(bigint[]);
create or replace function qgjob.raise_heads(p_job_ids bigint[], p_limited boolean default false) returns void
language plpgsql volatile as $$
declare
  v_groups bigint[];
  v_priorities smallint[];
  v_ats timestamptz[];
  v_works_s real[];
begin
  -- Materialized, or a database without statistics walks through the index of all pending jobs instead of these.
  with job as materialized (
    select group_id, status, priority, created_at, predicted_s from qgjob.job where job_id = any (p_job_ids)
  ), head as (
    select group_id, max(priority) as priority, min(created_at) as at, sum(predicted_s) as work_s
    from job where status = 'pending'
    group by group_id
  )
  select array_agg(group_id), array_agg(priority), array_agg(at), array_agg(work_s)
  into v_groups, v_priorities, v_ats, v_works_s from head;
  if v_groups is null then
    return;
  end if;
  perform qgjob.activate_lanes(array(select lane_id from qgjob.job_group where group_id = any (v_groups)), p_limited);
  perform from qgjob.job_group where group_id = any (v_groups) order by group_id for key share;
  if not p_limited then  -- they have come back: count_submitted counts again, and whoever is just counting is not waited for
    delete from qgjob.pending_count where org_id in (
      select org_id from qgjob.pending_count
      where org_id = any (array(select distinct org_id from qgjob.job_group where group_id = any (v_groups)))
      for update skip locked);
  end if;

  with lower as (
    select head.*
    from qgjob.job_group join unnest(v_groups, v_priorities, v_ats, v_works_s) as head (group_id, priority, at, work_s)
      using (group_id)
    where job_group.head_priority is null or job_group.head_priority < head.priority or job_group.head_at > head.at
    order by job_group.group_id
    for no key update of job_group
  )
  update qgjob.job_group set
    head_priority = greatest(head_priority, lower.priority),
    head_at = least(head_at, lower.at),
    rank_at = coalesce(rank_at, lower.at + make_interval(secs => lower.work_s))
  from lower where job_group.group_id = lower.group_id;
end $$;
