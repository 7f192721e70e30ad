-- Jobs, newest first; every null filter lets all through. The page after this one starts below its last job_id. p_test is
-- a test_path or a glob (glob_pattern).
drop function if exists qgjob.list_jobs(text, text[], text, text, bigint, timestamptz, integer, bigint);
create or replace function qgjob.list_jobs(
  p_org_id text default null, p_status text[] default null, p_target text default null,
  p_app_version_id text default null, p_run_id bigint default null, p_since timestamptz default null,
  p_limit integer default 50, p_cursor bigint default null, p_test text default null
) returns setof qgjob.job_details language plpgsql stable
-- Planned for what is asked for each time: a plan for every question reads all jobs.
set plan_cache_mode = force_custom_plan set enable_hashjoin = off set enable_mergejoin = off as $$
begin
  return query
  select *
  from reporting.jobs
  -- A range, and first in the order, so that the index of the organisation's jobs must give the order: PostgreSQL takes
  -- an organisation to be spread evenly among all, and would read the jobs of others until the page is full.
  where (p_org_id is null or org_id between p_org_id and p_org_id)
    and (p_status is null or status = any (p_status))
    and (p_target is null or target = p_target)
    and (p_app_version_id is null or app_version_id = p_app_version_id)
    -- An array, or it would ask of everybody's jobs whether they are of the run; a page of it where nothing else is asked.
    and (p_run_id is null or job_id = any (array(
      select job_of_run.job_id from qgjob.job_of_run
      where job_of_run.run_id = p_run_id and (p_cursor is null or job_of_run.job_id < p_cursor)
      order by job_of_run.job_id desc
      limit case when num_nonnulls(p_status, p_target, p_app_version_id, p_since, p_test) = 0
        then qgjob.page_limit(p_limit) end)))
    and (p_since is null or created_at >= p_since)
    and (p_cursor is null or job_id < p_cursor)
    -- PostgreSQL takes a regular expression to hold for so few jobs that it reads and sorts all of them, and a `coalesce`
    -- for half of them: then it reads from the newest on until the page is full.
    and coalesce(p_test is null or test_path = p_test or test_path ~ (select qgjob.glob_pattern(p_test)), false)
  order by case when p_org_id is not null then org_id end, job_id desc
  limit qgjob.page_limit(p_limit);
end $$;
