-- Change settings of an organisation; what p_changes does not name stays as it is, null takes a limit away.
--   weight                the organisation's share of device time, relative to the others
--   max_devices           devices that may serve it at the same time
--   max_pending_jobs      submissions beyond it are refused
--   requests_per_minute   of the API, for each API process
--   keep_days             how long results are kept after a run has ended; see forget_runs
--   group_by              labels of runs; jobs of runs that differ in one of them never share a group. Jobs that wait
--                         already stay in the groups that they are in
-- Who is bound to one organisation changes its group_by only.
create or replace function qgjob.change_org(p_org_id text, p_changes jsonb)
returns setof qgjob.org_details language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  v_org qgjob.org;
  v_was double precision;
begin
  if jsonb_typeof(p_changes) is distinct from 'object' then
    raise exception using errcode = 'QJ422', constraint = 'org_settings_are_an_object', column = 'changes',
      message = 'The settings of an organisation are an object.';
  end if;
  select * into v_org from qgjob.org where org_id = p_org_id and qgjob.may_see(org_id) for no key update;
  if v_org.org_id is null then
    return query select * from qgjob.get_org(p_org_id);  -- which refuses
  end if;
  if not qgjob.may_see(null)
      and p_changes ?| array['weight', 'max_devices', 'max_pending_jobs', 'requests_per_minute', 'keep_days'] then
    raise exception using errcode = 'QJ403', constraint = 'limits_are_set_by_the_operator',
      message = 'A token of one organisation does not change its limits.',
      hint = 'That takes an admin of all organisations; group_by can be changed.';
  end if;
  v_was := v_org.weight;
  v_org := qgjob.read_record(v_org, p_changes - array['org_id', 'created_at']);
  perform qgjob.check_org(v_org, p_changes);
  update qgjob.org set weight = v_org.weight, max_devices = v_org.max_devices,
    max_pending_jobs = v_org.max_pending_jobs, requests_per_minute = v_org.requests_per_minute,
    keep_days = v_org.keep_days, group_by = v_org.group_by
  where org_id = p_org_id;
  if v_org.weight <> v_was then
    -- What has been charged counts by the new weight, too: as far before or behind the others, in device-seconds, as it is.
    perform from qgjob.lane where org_id = p_org_id order by lane_id for no key update;
    update qgjob.lane set pass = greatest(0, level.pass + (lane.pass - level.pass) * v_was / v_org.weight)
    from (
      select lane_id, coalesce(qgjob.pass_level(target, selector), 0) as pass from qgjob.lane where org_id = p_org_id
    ) as level
    where lane.lane_id = level.lane_id;
  end if;
  if p_changes ? 'max_devices' then
    perform qgjob.wake_devices(qgjob.targets());
  end if;
  if p_changes ? 'max_pending_jobs' then
    -- What was submitted while there was no quota has not been counted.
    delete from qgjob.pending_count where org_id = p_org_id;
  end if;
  return query select * from qgjob.get_org(p_org_id);
end $$;
