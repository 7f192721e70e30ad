-- Keep what attempts tell about their tests: how long each takes when it passes, and whether it failed last. By their
-- keys in order, so that two batches that ran the same tests do not wait for each other in a circle.
drop function if exists qgjob.learn_test(qgjob.job, boolean, double precision);
create or replace function qgjob.learn_tests(p_jobs qgjob.job[], p_ended qgjob.ended_job[]) returns void
language sql volatile as $$
  insert into qgjob.test_timing as known (org_id, test_path, target, platform, mean_s, failed_last)
  select distinct on (target, platform, test_path) job.org_id, test_path, target,
    coalesce(selector ->> 'platform', '') as platform,
    case when (ended.result).status = 'completed'
      and qgjob.now() between job.started_at and job.started_at + make_interval(secs => job.timeout_s)  -- or a clock jumped
      then extract(epoch from qgjob.now() - job.started_at) end,
    (ended.result).status = 'failed'
  from unnest(p_jobs) as job
  join unnest(p_ended) as ended using (job_id)
  join qgjob.job_group using (group_id)
  where job.started_at is not null and (ended.result).status <> 'cancelled'
    and (ended.result).failure_kind is distinct from 'infrastructure'
  order by target, platform, test_path
  on conflict (org_id, target, platform, test_path) do update set
    mean_s = coalesce(known.mean_s + 0.3 * (excluded.mean_s - known.mean_s), excluded.mean_s, known.mean_s),
    failed_last = excluded.failed_last
$$;
