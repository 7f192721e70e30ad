-- Refuse to let jobs wait in these lanes, if their organisation's would then wait in too many of a target: a claim may have
-- to look at all of them. From then on nobody else is told so, for two submissions would both find the last room.
create or replace function qgjob.limit_lanes(p_lane_ids bigint[]) returns void language plpgsql volatile as $$
declare
  c_most constant integer := 200;
  v_asked record;
  v_there integer;
begin
  for v_asked in
    select org_id, target, count(*) as lanes from qgjob.lane where lane_id = any (p_lane_ids) and not active
    group by org_id, target order by org_id, target
  loop
    perform pg_advisory_xact_lock(hashtextextended(format('qgjob.limit_lanes %s %s', v_asked.org_id, v_asked.target), 0));
    select count(*) into v_there from qgjob.lane
    where org_id = v_asked.org_id and target = v_asked.target and (active or lane_id = any (p_lane_ids));
    if v_there > c_most then
      -- Lanes whose last job was taken or cancelled are active until a claim comes by, which may be never.
      perform qgjob.rest_lane(lane_id) from (
        select lane_id from qgjob.lane
        where org_id = v_asked.org_id and target = v_asked.target and active and lane_id <> all (p_lane_ids)
        order by lane_id
      ) as others;
      select count(*) into v_there from qgjob.lane
      where org_id = v_asked.org_id and target = v_asked.target and (active or lane_id = any (p_lane_ids));
    end if;
    if v_there > c_most then
      raise exception using errcode = 'QJ429', constraint = 'waiting_selectors_are_limited', column = 'selector',
        message = format('Jobs of %s may wait for %s different selectors of the target %s: they wait for %s, and this '
          'submission has %s others.', v_asked.org_id, c_most, v_asked.target, v_there - v_asked.lanes, v_asked.lanes),
        hint = 'Submit again when some have begun, or cancel what nobody needs: qgjob groups shows it. A selector names '
          'what devices have, such as a model; what tells runs apart are labels.';
    end if;
  end loop;
end $$;
