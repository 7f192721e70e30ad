-- The one place that decides which group a device serves next; null: none. In this order:
--   1. a group whose build the device holds already, unless it has stayed there for too long (why_yield); where that
--      group's organisation has something more urgent it has the device for that, for it would have kept it;
--   2. the lane with the lowest pass, which is the organisation that was given the least device time for its weight;
--   3. in all lanes of that organisation the highest priority, then groups that no device serves, then the one that would
--      be done first had it been alone since its oldest job came (which is age plus work, so that neither small nor old
--      ones wait for long). A device comes to a group only where that is_worth_joining.
-- Returns with the organisation's lanes taken, so that no two devices are the first of a group. What somebody else has taken
-- is passed over at first and waited for only by a transaction that holds no other lane, so that claims do not deadlock; so
-- is an organisation's room, which is taken before its lanes. Lanes that turn out to have no pending job are put to rest at
-- the end, for that locks them, too. A device that serves some organisations only looks at their lanes only. p_except:
-- groups in which it has found nothing to take.
drop function if exists qgjob.choose_group(qgjob.device, boolean);
create or replace function qgjob.choose_group(
  p_device qgjob.device, p_may_wait boolean, p_except bigint[] default '{}'
) returns bigint language plpgsql volatile as $$
declare
  v_held record;
  v_chosen bigint;
  v_lanes refcursor;
  v_lane bigint;
  v_org text;
  v_busy text;
  v_empty bigint[] := '{}';
  v_full text[] := '{}';  -- organisations without room, which may have many lanes
  v_locked boolean := false;
  v_has_room boolean;
  v_holds_room boolean := false;
begin
  select * into v_held from qgjob.group_to_continue(p_device, p_device.installed_build)
  where yields is distinct from 'stayed' and group_id <> all (p_except);
  if found then
    if qgjob.take_room(v_held.org_id, p_may_wait) then
      -- Where others just claim for the organisation they take what is urgent.
      if v_held.yields = 'urgent' and qgjob.take_lanes(v_held.org_id, p_device.target, p_may_wait) then
        select group_id into v_chosen from qgjob.job_group
        where group_id = qgjob.best_of_org(v_held.org_id, p_device, p_except)
          and head_priority > v_held.head_priority;
      end if;
      return coalesce(v_chosen, v_held.group_id);
    end if;
    v_holds_room := true;
  end if;

  -- Two queries, because each has an index of its own: the first stops at the first lane that will do.
  if p_device.org_ids is null then
    open v_lanes for
      select lane_id, org_id from qgjob.lane
      where target = p_device.target and active and p_device.labels @> selector
      order by pass, lane_id desc;  -- whoever has just come starts level with the others, and goes first
  else
    open v_lanes for
      with own as materialized (  -- or the index by pass would look cheaper, and read everybody's lanes
        select lane.lane_id, lane.org_id, lane.pass
        from unnest(p_device.org_ids) as served (org_id), lateral (
          select lane_id, org_id, pass from qgjob.lane
          where lane.org_id = served.org_id and target = p_device.target and active and p_device.labels @> selector
          offset 0
        ) as lane
      )
      select lane_id, org_id from own order by pass, lane_id desc;
  end if;
  loop
    fetch v_lanes into v_lane, v_org;
    exit when not found;
    continue when v_org = any (v_full);
    if not qgjob.has_room(v_org) then
      v_full := v_full || v_org;
      continue;
    end if;
    if qgjob.best_group(v_lane, p_except) is null then
      v_empty := v_empty || v_lane;
      continue;
    end if;
    v_has_room := qgjob.take_room(v_org, p_may_wait and not v_locked and not v_holds_room);
    v_holds_room := true;
    continue when not v_has_room;
    if not qgjob.take_lanes(v_org, p_device.target, false) then
      v_busy := coalesce(v_busy, v_org);
      continue;
    end if;
    v_locked := true;
    v_chosen := coalesce(
      qgjob.best_of_org(v_org, p_device, p_except), qgjob.best_group(v_lane, p_except));
    exit when v_chosen is not null;
  end loop;

  if v_chosen is null and v_busy is not null and p_may_wait and not v_locked
      and qgjob.take_lanes(v_busy, p_device.target, true) then
    v_chosen := qgjob.best_of_org(v_busy, p_device, p_except);
  end if;
  perform qgjob.rest_lane(lane_id) from unnest(v_empty) as lane_id;
  return v_chosen;
end $$;
