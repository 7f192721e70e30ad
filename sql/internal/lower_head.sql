-- Set the group's head to its best pending job, or to none. Where somebody is just adding jobs (and so holds a key share
-- lock on the group) or has added some that this transaction does not see, the head stays as it is: too high costs one
-- empty look, too low would lose jobs. Of a large group only the first 200 jobs are looked at; the oldest may be behind
-- them, so the head keeps its age then.
create or replace function qgjob.lower_head(p_group_id bigint) returns void language plpgsql volatile as $$
declare
  c_most constant integer := 200;
  v_group qgjob.job_group;
  v_head record;
begin
  if not qgjob.reads_committed() then
    return;
  end if;
  select * into v_group from qgjob.job_group where group_id = p_group_id for update skip locked;
  if v_group.group_id is null then
    return;
  end if;
  select count(*) as jobs, max(priority) as priority, min(created_at) as at, sum(predicted_s) as work_s into v_head
  from (
    select priority, created_at, predicted_s from qgjob.job where group_id = p_group_id and status = 'pending'
    order by priority desc, failed_before desc, predicted_s desc, job_id limit c_most
  ) as first;
  if v_head.jobs = c_most then
    v_head.at := least(v_group.head_at, v_head.at);
  end if;
  update qgjob.job_group set
    head_priority = v_head.priority, head_at = v_head.at, rank_at = v_head.at + make_interval(secs => v_head.work_s)
  where group_id = p_group_id;
end $$;
