-- What these runs need and is not there yet: organisations, lanes, builds and groups. p_each as in accept_runs.
create or replace function qgjob.make_missing_groups(
  p_runs qgjob.run_request[], p_requests qgjob.job_request[], p_each boolean
) returns void language plpgsql volatile as $$
declare
  c_most_groups constant integer := 200;  -- each has a lane and a head of its own, which cost more than jobs
  v_missing record;
begin
  -- With an organisation its builds are removed, and their groups: what is found from here on stays.
  perform from (
    select distinct org_id, app_version_id from unnest(p_runs) order by org_id, app_version_id
  ) as wanted, lateral (
    select from qgjob.build
    where build.org_id = wanted.org_id and build.app_version_id = wanted.app_version_id for key share
  ) as held;
  for v_missing in
    select wanted.org_id, wanted.app_version_id, wanted.grouped_by, row_number() over () = 1 as is_first,
      array_agg((null, target, selector, reset, null, null, null, null)::qgjob.job_request) as requests
    from (
      select distinct run.org_id, run.app_version_id, run.grouped_by, target, selector, reset
      from (  -- thousands that agree in this, before their run is looked at
        select distinct target, selector, reset, case when p_each then ordinal else 1 end as number
        from unnest(p_requests) with ordinality as request (
          test_path, target, selector, reset, priority, retries, timeout_s, dedupe, ordinal)
      ) as kind
      join unnest(p_runs) as run using (number)
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
    if v_missing.is_first then
      -- One run has one build: this is all that it needs, and few beside its thousands of jobs.
      perform qgjob.make_lanes(p_runs, case when p_each then p_requests else v_missing.requests end, p_each);
    end if;
    perform qgjob.make_groups(v_missing.org_id, v_missing.app_version_id, v_missing.requests, v_missing.grouped_by);
  end loop;
end $$;
