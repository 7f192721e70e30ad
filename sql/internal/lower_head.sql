-- Set the group's head to its best pending job, or to none. Where somebody is just adding jobs (and so holds a key share
-- lock on the group) the head stays as it is: too high costs one empty look, too low would lose jobs.
create or replace function qgjob.lower_head(p_group_id bigint) returns void language plpgsql volatile as $$
declare
  v_priority smallint;
  v_at timestamptz;
begin
  perform from qgjob.job_group where group_id = p_group_id for update skip locked;
  if not found then
    return;
  end if;
  select priority, created_at into v_priority, v_at
  from qgjob.job where group_id = p_group_id and status = 'pending'
  order by priority desc, failed_before desc, predicted_s desc, job_id limit 1;

  update qgjob.job_group set head_priority = v_priority, head_at = v_at,
    rank_at = v_at + make_interval(secs => qgjob.remaining_s(p_group_id))
  where group_id = p_group_id and (head_priority, head_at) is distinct from (v_priority, v_at);
end $$;
