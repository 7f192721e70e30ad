-- A worker process has started. Its lease is how long its batches outlive its last heartbeat. With p_org_ids its devices
-- serve these organisations only; else everybody.
drop function if exists qgjob.register_worker(text, text, text[], integer);
create or replace function qgjob.register_worker(
  p_name text, p_version text, p_targets text[], p_lease_s integer default 30, p_org_ids text[] default null
) returns table (worker_id bigint) language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp as $$
declare
  v_org_id text;
begin
  if p_targets is null or cardinality(p_targets) = 0 or array_ndims(p_targets) > 1
      or not p_targets <@ qgjob.targets() then
    raise exception using errcode = 'QJ422', constraint = 'target_is_known', column = 'target_types',
      message = 'A worker drives one or more of emulator, device, browserstack.';
  end if;
  if p_name is null or length(p_name) not between 1 and 128 or p_name ~ '[[:cntrl:]]' then
    raise exception using errcode = 'QJ422', constraint = 'worker_name_is_short', column = 'name',
      message = 'The name of a worker has 1 to 128 characters, all of which can be printed.';
  elsif coalesce(length(p_version) > 128, true) then
    raise exception using errcode = 'QJ422', constraint = 'version_is_short', column = 'version',
      message = 'The version of a worker has at most 128 characters.';
  elsif p_lease_s is null or p_lease_s not between 1 and 3600 then
    raise exception using errcode = 'QJ422', constraint = 'lease_in_range', column = 'lease_s',
      message = 'A lease is 1 to 3600 seconds long.';
  end if;
  if cardinality(p_org_ids) = 0 then
    raise exception using errcode = 'QJ422', constraint = 'some_org_is_served', column = 'org_ids',
      message = 'A worker serves everybody, or one organisation or more.';
  end if;
  for v_org_id in select unnest(p_org_ids) loop
    perform qgjob.require_name('org_ids', v_org_id);
    perform qgjob.require_org(v_org_id);
  end loop;
  if p_org_ids is null then
    perform qgjob.require_org(null) where not qgjob.may_see(null);
  end if;
  return query
  insert into qgjob.worker as w (name, version, targets, lease_s, org_ids, started_at, seen_at)
  values (p_name, p_version, p_targets, p_lease_s,
    case when p_org_ids is not null then array(select distinct id from unnest(p_org_ids) as id order by id) end,
    qgjob.now(), qgjob.now())
  returning w.worker_id;
end $$;
