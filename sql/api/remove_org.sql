-- Remove an organisation with all that is its own, in steps of about 2,000 jobs: where `removed` is false there is more to
-- do, call again. First what could submit or tell (tokens, trusts, schedules, webhooks), then results, builds with their
-- groups, what was learned, and itself. Refused while a run is unfinished. Files in the object store stay.
create or replace function qgjob.remove_org(p_org_id text)
returns table (org_id text, removed boolean) language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
#variable_conflict use_column
declare
  c_most constant integer := 2000;
  c_most_builds constant integer := 100;
  v_running bigint;
  v_builds text[];
  v_count integer;
begin
  if not exists (select from qgjob.org where org_id = p_org_id and qgjob.may_see(org_id)) then
    perform qgjob.get_org(p_org_id);  -- which refuses
  elsif not qgjob.may_see(null) then
    raise exception using errcode = 'QJ403', constraint = 'orgs_are_removed_by_the_operator',
      message = 'A token of one organisation does not remove it.', hint = 'That takes an admin of all organisations.';
  end if;
  select count(*) into v_running
  from (select from qgjob.run where org_id = p_org_id and finished_at is null limit 1000) as unfinished;
  if v_running > 0 or exists (select from qgjob.batch where org_id = p_org_id and ended_at is null) then
    raise exception using errcode = 'QJ409', constraint = 'removed_org_has_no_work',
      message = format('%s has unfinished work: %s.', p_org_id, case v_running when 0 then 'a device still holds a batch'
        when 1 then '1 run' when 1000 then '1000 runs or more' else v_running || ' runs' end),
      hint = 'Cancel its runs, or wait for them: qgjob runs shows them, qgjob cancel ends one.';
  end if;

  perform from qgjob.device where starts_with(installed_build, p_org_id || '/') order by device_id for no key update;
  update qgjob.device set installed_build = null, installed_at = null where starts_with(installed_build, p_org_id || '/');
  perform qgjob.remove_webhook(webhook_id) from qgjob.webhook where org_id = p_org_id order by webhook_id;
  delete from qgjob.schedule where org_id = p_org_id;
  delete from qgjob.api_token where org_id = p_org_id;
  delete from qgjob.trust where org_id = p_org_id;
  delete from qgjob.reader where org_id = p_org_id;

  -- With the housekeeping, one at a time forgets.
  perform pg_advisory_xact_lock(hashtextextended('qgjob.forget_runs', 0));
  if qgjob.forget_ended(p_org_id, 'infinity') > 0 then
    return query select p_org_id, false;
    return;
  end if;
  -- A build goes with its groups: whoever submits for it holds it from before it looks for a group, or waits here and then
  -- finds no build.
  v_builds := array(
    select app_version_id from qgjob.build where org_id = p_org_id order by app_version_id limit c_most_builds for update);
  if exists (select from qgjob.run where org_id = p_org_id) then
    return query select p_org_id, false;
    return;
  end if;
  delete from qgjob.job_group where org_id = p_org_id and app_version_id = any (v_builds);
  delete from qgjob.artifact where org_id = p_org_id and app_version_id = any (v_builds);
  delete from qgjob.build where org_id = p_org_id and app_version_id = any (v_builds);
  delete from qgjob.test_timing where ctid = any (array(
    select ctid from qgjob.test_timing where org_id = p_org_id limit c_most));
  get diagnostics v_count = row_count;
  if v_builds <> '{}' or v_count > 0 then
    return query select p_org_id, false;
    return;
  end if;

  -- Whoever has just added something to it is waited for, and seen: then there is something to do again.
  perform from qgjob.org where org_id = p_org_id for update;
  if exists (select from qgjob.build where org_id = p_org_id)
      or exists (select from qgjob.webhook where org_id = p_org_id)
      or exists (select from qgjob.schedule where org_id = p_org_id)
      or exists (select from qgjob.api_token where org_id = p_org_id)
      or exists (select from qgjob.trust where org_id = p_org_id) then
    return query select p_org_id, false;
    return;
  end if;
  delete from qgjob.install_timing where org_id = p_org_id;
  delete from qgjob.pending_count where org_id = p_org_id;
  delete from qgjob.lane where org_id = p_org_id;
  delete from qgjob.org where org_id = p_org_id;
  return query select p_org_id, true;
end $$;
