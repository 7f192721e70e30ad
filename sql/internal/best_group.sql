-- The group of this lane that a further device should serve, if its organisation has_room, and none of p_except; null: none.
drop function if exists qgjob.best_group(bigint);
create or replace function qgjob.best_group(p_lane_id bigint, p_except bigint[]) returns bigint language sql volatile as $$
  select job_group.group_id
  from qgjob.job_group
  where lane_id = p_lane_id and head_priority is not null and group_id <> all (p_except)
    and qgjob.is_worth_joining(job_group)
  order by head_priority desc, (devices > 0), rank_at
  limit 1
$$;
