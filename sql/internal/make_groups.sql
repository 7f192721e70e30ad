-- The groups of these jobs and the build that they belong to, as far as they are not there yet. Lanes are: see make_lanes.
drop function if exists qgjob.make_groups(text, text, qgjob.job_request[]);
create or replace function qgjob.make_groups(
  p_org_id text, p_app_version_id text, p_requests qgjob.job_request[], p_grouped_by jsonb
) returns void language plpgsql volatile as $$
declare
  v_now timestamptz := qgjob.now();
begin
  insert into qgjob.build (org_id, app_version_id, created_at) values (p_org_id, p_app_version_id, v_now)
  on conflict do nothing;
  -- Before its identity is asked for, so that who adds an artifact at the same time waits, or is waited for.
  perform from qgjob.build where org_id = p_org_id and app_version_id = p_app_version_id for share;
  insert into qgjob.job_group (org_id, app_version_id, lane_id, target, selector, reset, grouped_by, build, created_at)
  select p_org_id, p_app_version_id, lane_id, target, selector, reset, p_grouped_by,
    qgjob.build_identity(p_org_id, p_app_version_id, selector ->> 'platform'), v_now
  from (select distinct target, selector, reset from unnest(p_requests)) as wanted
  join qgjob.lane using (target, selector)
  where lane.org_id = p_org_id
  order by target, selector, reset
  on conflict on constraint group_is_unique do nothing;
end $$;
