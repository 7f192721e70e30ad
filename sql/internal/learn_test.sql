-- Keep what an attempt tells about its test: how long it takes when it passes, and whether it failed last.
create or replace function qgjob.learn_test(p_job qgjob.job, p_failed boolean, p_seconds double precision)
returns void language sql volatile as $$
  insert into qgjob.test_timing as known (org_id, test_path, target, platform, mean_s, failed_last)
  select org_id, p_job.test_path, target, coalesce(selector ->> 'platform', ''),
    case when not p_failed then p_seconds end, p_failed
  from qgjob.job_group where group_id = p_job.group_id
  on conflict (org_id, target, platform, test_path) do update set
    mean_s = coalesce(known.mean_s + 0.3 * (excluded.mean_s - known.mean_s), excluded.mean_s, known.mean_s),
    failed_last = excluded.failed_last
$$;
