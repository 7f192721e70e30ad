-- Accept runs, in one transaction: those of p_runs, whose jobs are p_requests, all of them of the only run or (p_each)
-- one for each run in its order. A job that is already waited for (same group, same test_path, neither finished nor
-- being cancelled) is joined instead of created; an idempotency key that was used before is answered as it was the first
-- time. Answers in the order of p_runs. If one of them is refused, none is accepted. Whoever takes labels from outside
-- checks them; those of a run that is run again may be older than their limits.
--
-- Order of locks: lanes that are new, builds and groups that are new, runs with a key by key, jobs by (group, test_path),
-- those that are joined by id, lanes, the limit of lanes, groups (to raise their heads), the organisations' counts. Submissions of the same
-- jobs therefore wait for each other and never deadlock.
create or replace function qgjob.accept_runs(
  p_runs qgjob.run_request[], p_requests qgjob.job_request[], p_each boolean
) returns setof qgjob.submitted language plpgsql volatile
set plan_cache_mode = force_generic_plan set enable_seqscan = off set lock_timeout = '10s' as $$
declare
  c_most_groups constant integer := 200;  -- each has a lane and a head of its own, which cost more than jobs
  v_now timestamptz := qgjob.now();
  v_all qgjob.run_request[];
  v_runs qgjob.run_request[];
  v_new bigint[];
  v_missing record;
  v_lanes_are_made boolean := false;
  v_limited record;
  v_wanted qgjob.wanted_job[];
  v_created bigint[];
  v_instead bigint[];
  v_joined bigint[];
  v_answers qgjob.submitted[];
begin
  perform qgjob.require_name('org_id', org_id), qgjob.require_org(org_id),
    qgjob.require_name('app_version_id', app_version_id)
  from unnest(p_runs);
  perform from unnest(p_runs) where length(idempotency_key) not between 1 and 255;
  if found then
    raise exception using errcode = 'QJ422', constraint = 'idempotency_key_is_short', column = 'idempotency_key',
      message = 'An idempotency key has 1 to 255 characters.';
  end if;
  perform from unnest(p_runs) where traceparent !~ '^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$';
  if found then
    raise exception using errcode = 'QJ422', constraint = 'traceparent_is_w3c', column = 'traceparent',
      message = 'traceparent is a W3C trace context: version-trace-parent-flags, in digits from 0 to 9 and a to f.',
      hint = 'Leave it out where there is none.';
  end if;
  v_all := array(
    select (number, nextval('qgjob.run_run_id_seq'), org_id, app_version_id, labels,
      case when group_by <> '{}' then qgjob.grouped_by(group_by, labels) else '{}' end,
      idempotency_key, request_hash, traceparent)::qgjob.run_request
    from (
      select run.*, org.group_by from unnest(p_runs) as run left join qgjob.org using (org_id) order by number
    ) as run);

  for v_missing in
    select wanted.org_id, wanted.app_version_id, wanted.grouped_by,
      array_agg((null, target, selector, reset, null, null, null, null)::qgjob.job_request) as requests
    from (
      select distinct run.org_id, run.app_version_id, run.grouped_by, target, selector, reset
      from unnest(p_requests) with ordinality as request (
        test_path, target, selector, reset, priority, retries, timeout_s, dedupe, ordinal)
      join unnest(v_all) as run on run.number = case when p_each then request.ordinal else 1 end
    ) as wanted
    where (
      select group_id from qgjob.job_group
      where job_group.org_id = wanted.org_id and job_group.app_version_id = wanted.app_version_id
        and job_group.target = wanted.target and job_group.selector = wanted.selector
        and job_group.reset = wanted.reset and job_group.grouped_by = wanted.grouped_by) is null
    group by wanted.org_id, wanted.app_version_id, wanted.grouped_by
    order by wanted.org_id, wanted.app_version_id, wanted.grouped_by
  loop
    if cardinality(v_missing.requests) > c_most_groups then
      raise exception using errcode = 'QJ422', constraint = 'run_has_few_groups', column = 'jobs',
        message = format('The jobs of a run need at most %s different installations: combinations of target, selector '
          'and reset. These need %s.', c_most_groups, cardinality(v_missing.requests)),
        hint = 'Submit them as several runs.';
    end if;
    if not v_lanes_are_made then
      -- One run has one build: this is all that it needs, and few beside its thousands of jobs.
      perform qgjob.make_lanes(v_all, case when p_each then p_requests else v_missing.requests end, p_each);
      v_lanes_are_made := true;
    end if;
    perform qgjob.make_groups(v_missing.org_id, v_missing.app_version_id, v_missing.requests, v_missing.grouped_by);
  end loop;

  with created as (
    insert into qgjob.run (run_id, org_id, app_version_id, idempotency_key, request_hash, labels, total, remaining,
      created_at, traceparent)
    overriding system value
    select run_id, org_id, app_version_id, idempotency_key, request_hash, labels, jobs, jobs, v_now, traceparent
    from unnest(v_all), (select case when p_each then 1 else cardinality(p_requests) end) as counted (jobs)
    order by org_id, idempotency_key, run_id
    on conflict on constraint idempotency_key_is_used_once do nothing
    returning run_id
  )
  select coalesce(array_agg(run_id), '{}') into v_new from created;
  v_runs := array(select run from unnest(v_all) as run where run_id = any (v_new));

  -- One row per job to wait for; ids in the order of submission, which is also the order of age.
  v_wanted := array(
    with usual as materialized (  -- read only where nothing is known of a test
      select org_id, target, qgjob.usual_test_s(org_id, target) as test_s
      from (select distinct org_id from unnest(v_runs)) as orgs, (select distinct target from unnest(p_requests)) as targets
    )
    select (nextval('qgjob.job_job_id_seq'), group_id, test_path, priority, retries, timeout_s,
      dedupe, predicted_s, failed_before, org_id, case when cardinality(run_ids) = 1 then run_ids
        else array(select distinct run_id from unnest(run_ids) as run_id order by run_id) end)::qgjob.wanted_job
    from (
      select job_group.group_id, job_group.org_id, request.test_path, request.dedupe, max(request.priority) as priority,
        max(request.retries) as retries, max(request.timeout_s) as timeout_s,
        coalesce(max(known.mean_s), (
          select test_s from usual where usual.org_id = job_group.org_id and usual.target = job_group.target
        )) as predicted_s,
        coalesce(bool_or(known.failed_last), false) as failed_before, array_agg(run.run_id) as run_ids
      from unnest(p_requests) with ordinality as request (
          test_path, target, selector, reset, priority, retries, timeout_s, dedupe, ordinal)
      join unnest(v_runs) as run on run.number = case when p_each then request.ordinal else 1 end
      join qgjob.job_group on job_group.org_id = run.org_id and job_group.app_version_id = run.app_version_id
        and job_group.target = request.target and job_group.selector = request.selector
        and job_group.reset = request.reset and job_group.grouped_by = run.grouped_by
      left join qgjob.test_timing as known on known.org_id = run.org_id and known.target = request.target
        and known.platform = coalesce(request.selector ->> 'platform', '') and known.test_path = request.test_path
      group by job_group.group_id, request.test_path, request.dedupe,
        case when not request.dedupe then request.ordinal end
      order by min(request.ordinal)
    ) as wanted
  );
  for v_limited in
    select org_id, max_pending_jobs as most from qgjob.org
    where max_pending_jobs is not null and org_id in (select run.org_id from unnest(v_runs) as run)
  loop
    perform qgjob.check_quota(v_limited.org_id, v_limited.most, array(
      select wanted from unnest(v_wanted) as wanted where wanted.org_id = v_limited.org_id));
  end loop;

  loop
    v_instead := '{}';
    v_joined := '{}';
    begin
      with created as (
        insert into qgjob.job (job_id, org_id, group_id, test_path, priority, retries, timeout_s, dedupe, predicted_s,
          failed_before, created_at)
        overriding system value
        select job_id, org_id, group_id, test_path, priority, retries, timeout_s, dedupe, predicted_s, failed_before,
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
        select job.job_id, wanted.job_id as instead_of, wanted.priority
        from unnest(v_wanted) as wanted
        join qgjob.job on job.group_id = wanted.group_id and job.test_path = wanted.test_path
          and job.dedupe and job.finished_at is null and job.cancel_requested_at is null
        where wanted.dedupe and wanted.job_id not in (select unnest(v_created))
        order by job.job_id
        for no key update of job
      ), raised as (
        update qgjob.job set priority = waiting.priority, version = version + 1
        from waiting
        where job.job_id = waiting.job_id and job.priority < waiting.priority
      )
      select coalesce(array_agg(job_id), '{}'), coalesce(array_agg(instead_of), '{}') into v_joined, v_instead
      from waiting;
      exit when cardinality(v_created) + cardinality(v_joined) = cardinality(v_wanted);

      -- Some have ended in between. Creating just those now would take locks out of their order: begin again.
      raise sqlstate 'QJ000';
    exception when sqlstate 'QJ000' then
      null;
    end;
  end loop;

  -- A job that several of these runs wait for was created by the first.
  with waited_for as materialized (
    select coalesce(joined.job_id, wanted.job_id) as job_id, joined.job_id is not null as joined, run_ids
    from unnest(v_wanted) as wanted
    left join unnest(v_joined, v_instead) as joined (job_id, instead_of) on joined.instead_of = wanted.job_id
  ), kept as (
    insert into qgjob.run_job (run_id, job_id, deduplicated)
    select run_ids[1], job_id, joined from waited_for
    union all
    select run_id, job_id, true from waited_for, unnest(run_ids[2:]) as run_id where cardinality(run_ids) > 1
    returning run_id, job_id, deduplicated
  ), answer as (
    select run_id, count(*)::integer as total, count(*) filter (where deduplicated)::integer as deduplicated,
      array_agg(job_id order by job_id) as job_ids
    from kept group by run_id
  )
  select array_agg((run_id, total, deduplicated, false, job_ids)::qgjob.submitted) into v_answers from answer;
  if not p_each and cardinality(v_wanted) <> cardinality(p_requests) then
    update qgjob.run set total = cardinality(v_wanted), remaining = cardinality(v_wanted) where run_id = any (v_new);
  end if;

  perform qgjob.raise_heads(v_created || v_joined, true);
  if v_joined <> '{}' then
    perform qgjob.announce(v_joined);
  end if;
  perform qgjob.emit('run.submitted', jsonb_build_object('org_id', org_id, 'run_id', run_id,
    'app_version_id', app_version_id, 'jobs', case when p_each then 1 else cardinality(v_wanted) end))
  from unnest(v_runs)
  where exists (select from pgmq.topic_bindings);  -- asked once here, not once for every run
  perform qgjob.wake_devices(array(select distinct target from unnest(p_requests)));
  for v_limited in
    select org_id, max_pending_jobs as most from qgjob.org
    where max_pending_jobs is not null and org_id in (select run.org_id from unnest(v_runs) as run)
    order by org_id
  loop
    perform qgjob.count_submitted(v_limited.org_id, v_limited.most, (
      select count(*)::integer from unnest(v_wanted) as wanted
      where wanted.org_id = v_limited.org_id and wanted.job_id in (select unnest(v_created))));
  end loop;

  return query
  select answer.run_id, answer.total, answer.deduplicated, answer.replayed, answer.job_ids
  from (
    select number, answer
    from unnest(v_runs) as run join unnest(v_answers) as answer using (run_id)
    union all
    select number, qgjob.replay_submission(org_id, idempotency_key, request_hash)
    from unnest(v_all) where run_id <> all (v_new)
    offset 0  -- or it would be asked for each column
  ) as found (number, one), lateral (select (one).*) as answer
  order by number;
end $$;
