-- Put a lane to rest that has no pending job, unless somebody is just adding one, or may have without being seen.
create or replace function qgjob.rest_lane(p_lane_id bigint) returns void language plpgsql volatile as $$
begin
  if not qgjob.reads_committed()
      or exists (select from qgjob.job_group where lane_id = p_lane_id and head_priority is not null) then
    return;
  end if;
  perform from qgjob.lane where lane_id = p_lane_id for update skip locked;
  if found then
    update qgjob.lane set active = false
    where lane_id = p_lane_id
      and not exists (select from qgjob.job_group where lane_id = p_lane_id and head_priority is not null);
  end if;
end $$;
