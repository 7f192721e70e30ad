-- The group of this lane that a further device should serve, if its organisation has_room; null: none.
create or replace function qgjob.best_group(p_lane_id bigint) returns bigint language sql volatile as $$
  select job_group.group_id
  from qgjob.job_group
  where lane_id = p_lane_id and head_priority is not null
    and qgjob.is_worth_joining(job_group)
  order by head_priority desc, (devices > 0), rank_at
  limit 1
$$;
