-- Accept runs, in one transaction: those of p_runs, whose jobs are p_requests, all of them of the only run or (p_each)
-- one for each run in its order. A job that is already waited for is joined instead of created; an idempotency key that was
-- used before is answered as it was the first time. Answers in the order of p_runs. If one of them is refused, none is
-- accepted. Whoever takes labels from outside checks them; those of a run that is run again may be older than their limits.
--
-- Order of locks: builds, organisations and lanes that are new, builds and groups that are new, runs with a key by key, jobs
-- by (group, test_path), those that are joined by id, lanes, the limit of lanes, lanes to put to rest (skipping locked
-- ones), groups (to raise their heads), the organisations' counts. Submissions of the same jobs therefore wait for each
-- other and never deadlock.
create or replace function qgjob.accept_runs(
  p_runs qgjob.run_request[], p_requests qgjob.job_request[], p_each boolean
) returns setof qgjob.submitted language plpgsql volatile
set plan_cache_mode = force_generic_plan set enable_seqscan = off set lock_timeout = '10s' as $$
declare
  v_now timestamptz := qgjob.now();
  v_all qgjob.run_request[];
  v_runs qgjob.run_request[];
  v_job_ids bigint[];
  v_new bigint[];
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
  -- In the order of submission, which is also the order of age.
  v_job_ids := array(select nextval('qgjob.job_job_id_seq') from generate_series(1, cardinality(p_requests)));

  perform qgjob.make_missing_groups(v_all, p_requests, p_each);

  with created as (
    insert into qgjob.run (run_id, org_id, app_version_id, idempotency_key, request_hash, labels, total, remaining,
      created_at, traceparent, first_job_id, last_job_id)
    overriding system value
    select run_id, org_id, app_version_id, idempotency_key, request_hash, labels, last - first + 1, last - first + 1,
      v_now, traceparent, v_job_ids[first], v_job_ids[last]
    from unnest(v_all), lateral (
      select case when p_each then number else 1 end, case when p_each then number else cardinality(p_requests) end
    ) as of_run (first, last)
    order by org_id, idempotency_key, run_id
    on conflict on constraint idempotency_key_is_used_once do nothing
    returning run_id
  )
  select coalesce(array_agg(run_id), '{}') into v_new from created;
  v_runs := array(select run from unnest(v_all) as run where run_id = any (v_new));

  v_wanted := qgjob.wanted_jobs(v_runs, p_requests, v_job_ids, p_each);
  for v_limited in
    select org_id, max_pending_jobs as most from qgjob.org
    where max_pending_jobs is not null and org_id = any (array(select run.org_id from unnest(v_runs) as run))
  loop
    perform qgjob.check_quota(v_limited.org_id, v_limited.most, array(
      select wanted from unnest(v_wanted) as wanted where wanted.org_id = v_limited.org_id));
  end loop;

  select p_created, p_joined, p_instead into v_created, v_joined, v_instead from qgjob.create_or_join(v_wanted, v_now);

  -- A job that several of these runs wait for was created by the first.
  with further as (
    insert into qgjob.run_job (run_id, job_id, deduplicated)
    select run_id, coalesce(joined.job_id, wanted.job_id), true
    from unnest(v_wanted) as wanted
    left join unnest(v_joined, v_instead) as joined (job_id, instead_of) on joined.instead_of = wanted.job_id
    cross join unnest(case when joined.job_id is null then run_ids[2:] else run_ids end) as run_id
    where joined.job_id is not null or cardinality(run_ids) > 1
    returning run_id, job_id
  ), answer as (
    select run_id, count(*)::integer as total, count(*) filter (where deduplicated)::integer as deduplicated,
      array_agg(job_id order by job_id) as job_ids
    from (
      select run_id, job_id, true as deduplicated from further
      union all
      select run_ids[1], job_id, false from unnest(v_wanted) where job_id not in (select unnest(v_instead))
    ) as every
    group by run_id
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
    where max_pending_jobs is not null and org_id = any (array(select run.org_id from unnest(v_runs) as run))
    order by org_id
  loop
    perform qgjob.count_submitted(v_limited.org_id, v_limited.most, (
      select count(*)::integer from unnest(v_wanted) as wanted
      -- `is true`: or PostgreSQL before 18 compares each with each.
      where wanted.org_id = v_limited.org_id and (wanted.job_id in (select unnest(v_created))) is true));
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
