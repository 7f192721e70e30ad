-- How many jobs of the organisation are pending, counted up to p_most. It reads index entries of this organisation only:
-- offset 0 keeps the planner from beginning with everybody's.
create or replace function qgjob.pending_jobs(p_org_id text, p_most integer) returns integer language sql stable
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
  select count(*)::integer
  from (
    select
    from qgjob.lane, lateral (
      select group_id from qgjob.job_group
      where job_group.lane_id = lane.lane_id and head_priority is not null offset 0
    ) as waiting, lateral (
      select from qgjob.job where job.group_id = waiting.group_id and status = 'pending' offset 0
    ) as pending
    where lane.org_id = p_org_id
    limit p_most
  ) as counted
$$;
