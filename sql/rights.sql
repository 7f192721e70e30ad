-- Who may do what. Applied after every function and view, whenever one of them or the set of roles has changed:
--   qgjob_api      calls the functions; sees the rows of the organisation in qgjob.org_id, '*' for all, unset for none
--   qgjob_worker   calls the functions of sql/worker
--   qgjob_reader   reads the views of sql/reporting; sees the rows of the organisations in qgjob.reader
-- Nobody of them changes a table but through functions, which are the owner's (security definer) where they write. Every
-- table with an org_id gets row-level security here, also for its owner, whose own policy lets everything through: so
-- plans and costs inside these functions are what they are without.
do $$
declare
  c_api constant text := $x$(select coalesce(current_setting('qgjob.org_id', true), ''))$x$;
  c_reader constant text := '(select qgjob.readable_orgs())::text[]';
  v_role text;
  v_table text;
  v_own text;
  v_array boolean;
begin
  -- Roles belong to the whole server: another database may have made them, or be making them now.
  foreach v_role in array array['qgjob_api', 'qgjob_worker', 'qgjob_reader'] loop
    if to_regrole(v_role) is null then
      begin
        execute format('create role %I nologin', v_role);
      exception
        when duplicate_object or unique_violation then null;
        when insufficient_privilege then
          raise warning 'role % is missing, and this role may not create it: ask for "create role % nologin", then migrate again',
            v_role, v_role;
      end;
    end if;
  end loop;
  if to_regrole('qgjob_api') is not null and not pg_has_role('qgjob_api', 'member') then
    begin
      grant qgjob_api to current_user;
    exception when insufficient_privilege then
      raise warning 'this role is no member of qgjob_api: an API that uses it cannot ask for tokens';
    end;
  end if;

  for v_table in
    select relname from pg_class
    where relnamespace = 'qgjob'::regnamespace and relkind = 'r'
      and (relname in ('run_job', 'live_log', 'worker', 'device', 'webhook_delivery') or exists (
        select from pg_attribute where attrelid = pg_class.oid and attname = 'org_id' and not attisdropped))
      and not (relrowsecurity and relforcerowsecurity)
  loop
    execute format('alter table qgjob.%I enable row level security, force row level security', v_table);
    execute format('create policy owner on qgjob.%I to current_user using (true)', v_table);
  end loop;

  foreach v_role in array array['qgjob_api', 'qgjob_reader'] loop
    continue when to_regrole(v_role) is null;
    for v_table in
      select relname from pg_class
      where relnamespace = 'qgjob'::regnamespace and relkind = 'r' and relrowsecurity and not exists (
        select from pg_policy where polrelid = pg_class.oid and polname = v_role)
    loop
      v_array := v_table in ('worker', 'device');
      v_own := case v_role
        when 'qgjob_api' then format(
          case when v_array then '%1$s = ''*'' or %1$s <> '''' and qgjob.serves(org_ids, %1$s)' else '%1$s in (org_id, ''*'')' end, c_api)
        else format(
          case when v_array then '%1$s && array[''*''] or org_ids is null or org_ids && %1$s'
            else '%1$s && array[''*''] or org_id = any (%1$s)' end, c_reader) end;
      v_own := case v_table
        -- Not exists (…): that could be answered by reading every run first.
        when 'run_job' then '(select run.org_id from qgjob.run where run.run_id = run_job.run_id) is not null'
        when 'live_log' then '(select job.org_id from qgjob.job where job.job_id = live_log.job_id) is not null'
        when 'webhook_delivery' then
          '(select webhook.org_id from qgjob.webhook where webhook.webhook_id = webhook_delivery.webhook_id) is not null'
        else v_own end;
      -- As a case, because the planner takes one for true half of the time. Of a comparison it would think that it lets
      -- next to nothing through, on top of the one in the query, and then read everything to sort what is left.
      execute format('create policy %I on qgjob.%I for select to %I using (case when %s then true else false end)',
        v_role, v_table, v_role, v_own);
    end loop;
  end loop;
end $$;

revoke execute on all functions in schema qgjob from public;
do $$
begin
  if to_regrole('qgjob_api') is not null then
    grant usage on schema qgjob, reporting to qgjob_api;
    grant select on all tables in schema qgjob, reporting to qgjob_api;
    revoke select on qgjob.api_token, qgjob.exchanged, qgjob.reader, qgjob.webhook from qgjob_api;
    grant select (token_id, hint, name, org_id, scopes, created_by, trust_id, created_at, expires_at, last_used_at,
      revoked_at) on qgjob.api_token to qgjob_api;
    grant select (webhook_id, org_id, url, events, format, description, enabled, disabled_reason, created_at, last_at,
      last_status_code, last_error) on qgjob.webhook to qgjob_api;
    grant execute on all functions in schema qgjob to qgjob_api;
    revoke execute on function qgjob.allow_reader, qgjob.deny_reader from qgjob_api;
  end if;
  if to_regrole('qgjob_worker') is not null then
    grant usage on schema qgjob to qgjob_worker;
    grant select on qgjob.alembic_version to qgjob_worker;
  end if;
  if to_regrole('qgjob_reader') is not null then
    grant usage on schema qgjob, reporting to qgjob_reader;
    grant select on all tables in schema reporting to qgjob_reader;
    grant select on qgjob.job, qgjob.job_group, qgjob.run, qgjob.run_job, qgjob.job_of_run, qgjob.attempt, qgjob.batch,
      qgjob.device, qgjob.worker, qgjob.schedule, qgjob.install_timing to qgjob_reader;
    grant execute on function qgjob.now, qgjob.priority_word, qgjob.worker_status, qgjob.is_busy, qgjob.installs_avoided,
      qgjob.saved_s, qgjob.readable_orgs, qgjob.serves to qgjob_reader;
  end if;
end $$;
