-- How many groups choose_group would give to one of these devices before this group, as things stand; 500 are counted
-- at most. Of another organisation it is those that its pass leaves it: each costs the lane an install at least; none where
-- a device of its own organisation goes to what is most urgent there (p_own).
drop function if exists qgjob.groups_before(qgjob.job_group, qgjob.device[]);
create or replace function qgjob.groups_before(p_group qgjob.job_group, p_devices qgjob.device[], p_own boolean)
returns integer language sql stable
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
  with kind as materialized (
    select distinct labels, org_ids from unnest(p_devices)
  ), own as materialized (  -- the lane by which its organisation gets its turn
    select * from qgjob.lane
    where org_id = p_group.org_id and target = p_group.target and active
      and exists (select from kind where kind.labels @> lane.selector)
    order by pass, lane_id desc limit 1
  )
  select count(*)::integer
  from (
    select
    from (
      select lane.lane_id, lane.org_id = own.org_id as is_own, case when lane.org_id = own.org_id then 500
        else 1 + least(499, floor(
          (own.pass - lane.pass) * org.weight / greatest(1, qgjob.install_s(lane.org_id, lane.target)))) end as most
      from own
      join qgjob.lane on lane.target = own.target and lane.active
      join qgjob.org on org.org_id = lane.org_id
      where (lane.org_id = own.org_id or not p_own)
        and (lane.org_id = own.org_id or lane.pass < own.pass or lane.pass = own.pass and lane.lane_id > own.lane_id)
        and exists (
          select from kind where kind.labels @> lane.selector and qgjob.serves(kind.org_ids, lane.org_id))
        and (p_own or qgjob.has_room(lane.org_id))
      offset 0  -- or it would be computed for lanes that come after its own, too, where the limit is negative
    ) as lane
    cross join lateral (
      select
      from (
        select group_id, head_priority, devices, rank_at, job_group from qgjob.job_group
        where job_group.lane_id = lane.lane_id and head_priority is not null
        order by head_priority desc, (devices > 0), rank_at limit 500
      ) as other
      where other.group_id <> p_group.group_id
        and qgjob.is_worth_joining(other.job_group)
        and (not is_own or (-other.head_priority, other.devices > 0, other.rank_at)
          < (-p_group.head_priority, p_group.devices > 0, p_group.rank_at))
      limit most
    ) as waiting
    limit 500
  ) as counted
$$;
