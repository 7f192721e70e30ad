-- The organisations and lanes of these submissions, as far as they are not there yet. All at once and in order, for several
-- builds have lanes in common: made build by build, two submissions would wait for each other.
create or replace function qgjob.make_lanes(
  p_runs qgjob.run_request[], p_requests qgjob.job_request[], p_each boolean
) returns void language plpgsql volatile as $$
begin
  perform qgjob.make_orgs(array(select org_id from unnest(p_runs)));
  insert into qgjob.lane (org_id, target, selector)
  select distinct run.org_id, target, selector
  from unnest(p_requests) with ordinality as request (
    test_path, target, selector, reset, priority, retries, timeout_s, dedupe, ordinal)
  join unnest(p_runs) as run on run.number = case when p_each then request.ordinal else 1 end
  order by run.org_id, target, selector
  on conflict on constraint lane_is_unique do nothing;
end $$;
