-- Accept jobs as one run, in one transaction. A job that is already waited for (same group, same test_path, neither
-- finished nor being cancelled) is joined instead of created; an idempotency key that was used before is answered as it
-- was the first time.
--
-- Order of locks: the run (its own), groups by id (key share), jobs by (group, test_path), lanes, groups (to raise their
-- heads), the organisation's count. Two submissions of the same jobs therefore wait for each other and never deadlock.
--   p_traceparent   W3C trace context that the workers continue
drop function if exists qgjob.submit_run(text, text, jsonb, jsonb, jsonb, text);
create or replace function qgjob.submit_run(
  p_org_id text, p_app_version_id text, p_jobs jsonb, p_defaults jsonb default '{}', p_labels jsonb default '{}',
  p_idempotency_key text default null, p_traceparent text default null
) returns qgjob.submitted language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan set enable_seqscan = off set lock_timeout = '10s' as $$
declare
  v_now timestamptz := qgjob.now();
  v_hash bytea := sha256(convert_to(jsonb_build_array(p_app_version_id, p_jobs, p_defaults, p_labels)::text, 'utf8'));
  v_requests qgjob.job_request[] := array(select request from qgjob.read_jobs(p_jobs, p_defaults) as request);
  v_org qgjob.org;
  v_grouped_by jsonb := '{}';
  v_run qgjob.run;
  v_wanted qgjob.wanted_job[];
  v_created bigint[];
  v_joined bigint[];
begin
  perform qgjob.require_name('org_id', p_org_id);
  perform qgjob.require_org(p_org_id);
  perform qgjob.require_name('app_version_id', p_app_version_id);
  perform qgjob.check_labels(p_labels, 'run');
  if length(p_idempotency_key) not between 1 and 255 then
    raise exception using errcode = 'QJ422', constraint = 'idempotency_key_is_short', column = 'idempotency_key',
      message = 'An idempotency key has 1 to 255 characters.';
  end if;
  select * into v_org from qgjob.org where org_id = p_org_id;
  if v_org.group_by <> '{}' then
    v_grouped_by := qgjob.grouped_by(v_org.group_by, p_labels);
  end if;
  if exists (
    select from (select distinct target, selector, reset from unnest(v_requests)) as wanted
    where not exists (
      select from qgjob.job_group
      where org_id = p_org_id and app_version_id = p_app_version_id and job_group.target = wanted.target
        and job_group.selector = wanted.selector and job_group.reset = wanted.reset
        and job_group.grouped_by = v_grouped_by)
  ) then
    perform qgjob.make_groups(p_org_id, p_app_version_id, v_requests, v_grouped_by);
  end if;

  insert into qgjob.run (org_id, app_version_id, idempotency_key, request_hash, labels, total, remaining, created_at,
    traceparent)
  values (p_org_id, p_app_version_id, p_idempotency_key, v_hash, p_labels,
    cardinality(v_requests), cardinality(v_requests), v_now, p_traceparent)
  on conflict on constraint idempotency_key_is_used_once do nothing
  returning * into v_run;
  if v_run.run_id is null then
    return qgjob.replay_submission(p_org_id, p_idempotency_key, v_hash);
  end if;

  -- One row per job to wait for; ids in the order of submission, which is also the order of age.
  v_wanted := array(
    with usual as materialized (  -- read only where nothing is known of a test
      select target, qgjob.usual_test_s(p_org_id, target) as test_s
      from (select distinct target from unnest(v_requests)) as targets
    )
    select (nextval('qgjob.job_job_id_seq'), group_id, test_path, priority, retries, timeout_s,
      dedupe, predicted_s, failed_before)::qgjob.wanted_job
    from (
      select job_group.group_id, request.test_path, request.dedupe, max(request.priority) as priority,
        max(request.retries) as retries, max(request.timeout_s) as timeout_s,
        coalesce(max(known.mean_s), (select test_s from usual where usual.target = job_group.target)) as predicted_s,
        coalesce(bool_or(known.failed_last), false) as failed_before
      from unnest(v_requests) with ordinality as request (
          test_path, target, selector, reset, priority, retries, timeout_s, dedupe, ordinal)
      join qgjob.job_group on job_group.org_id = p_org_id and job_group.app_version_id = p_app_version_id
        and job_group.target = request.target and job_group.selector = request.selector
        and job_group.reset = request.reset and job_group.grouped_by = v_grouped_by
      left join qgjob.test_timing as known on known.org_id = p_org_id and known.target = request.target
        and known.platform = coalesce(request.selector ->> 'platform', '') and known.test_path = request.test_path
      group by job_group.group_id, request.test_path, request.dedupe,
        case when not request.dedupe then request.ordinal end
      order by min(request.ordinal)
    ) as wanted
  );
  if v_org.max_pending_jobs is not null then
    perform qgjob.check_quota(p_org_id, v_org.max_pending_jobs, v_wanted);
  end if;
  loop
    v_joined := '{}';
    begin
      with created as (
        insert into qgjob.job (job_id, org_id, group_id, test_path, priority, retries, timeout_s, dedupe, predicted_s,
          failed_before, created_at)
        overriding system value
        select job_id, p_org_id, group_id, test_path, priority, retries, timeout_s, dedupe, predicted_s, failed_before,
          v_now
        from unnest(v_wanted)
        order by group_id, test_path
        on conflict (group_id, test_path) where dedupe and finished_at is null and cancel_requested_at is null
        do nothing
        returning job_id
      )
      select coalesce(array_agg(job_id), '{}') into v_created from created;
      exit when cardinality(v_created) = cardinality(v_wanted);

      -- What was not created is waited for already: join it.
      with waiting as (
        select job.job_id, wanted.priority
        from unnest(v_wanted) as wanted
        join qgjob.job on job.group_id = wanted.group_id and job.test_path = wanted.test_path
          and job.dedupe and job.finished_at is null and job.cancel_requested_at is null
        where wanted.dedupe and wanted.job_id <> all (v_created)
        order by job.job_id
        for no key update of job
      ), raised as (
        update qgjob.job set priority = waiting.priority, version = version + 1
        from waiting
        where job.job_id = waiting.job_id and job.priority < waiting.priority
      )
      select coalesce(array_agg(job_id), '{}') into v_joined from waiting;
      exit when cardinality(v_created) + cardinality(v_joined) = cardinality(v_wanted);

      -- Some have ended in between. Creating just those now would take locks out of their order: begin again.
      raise sqlstate 'QJ000';
    exception when sqlstate 'QJ000' then
      null;
    end;
  end loop;

  insert into qgjob.run_job (run_id, job_id, deduplicated)
  select v_run.run_id, job_id, false from unnest(v_created) as job_id
  union all
  select v_run.run_id, job_id, true from unnest(v_joined) as job_id;

  if v_run.total <> cardinality(v_created || v_joined) then
    update qgjob.run set total = cardinality(v_created || v_joined), remaining = cardinality(v_created || v_joined)
    where run_id = v_run.run_id;
  end if;

  perform qgjob.raise_heads(v_created || v_joined);
  if v_joined <> '{}' then
    perform qgjob.announce(v_joined);
  end if;
  perform qgjob.emit('run.submitted', jsonb_build_object('org_id', p_org_id, 'run_id', v_run.run_id,
    'app_version_id', p_app_version_id, 'jobs', cardinality(v_created || v_joined)));
  perform qgjob.wake_devices(array(select distinct target from unnest(v_requests)));
  if v_org.max_pending_jobs is not null and v_created <> '{}' then
    perform qgjob.count_submitted(p_org_id, v_org.max_pending_jobs, cardinality(v_created));
  end if;
  return (v_run.run_id, cardinality(v_created || v_joined), cardinality(v_joined), false,
    array(select id from unnest(v_created || v_joined) as id order by id))::qgjob.submitted;
end $$;
