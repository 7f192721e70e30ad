-- The groups with unfinished jobs, the one with the most urgent and oldest job first.
drop function if exists qgjob.list_groups(text);
create or replace function qgjob.list_groups(p_org_id text default null)
returns table (
  group_id bigint, org_id text, app_version_id text, target text, selector jsonb, reset text, priority text,
  pending integer, queued integer, running integer, devices integer, oldest_at timestamptz,
  grouped_by jsonb
) language sql stable as $$
  select group_id, org_id, app_version_id, target, selector, reset, priority, pending, queued, running, devices,
    oldest_at, grouped_by
  from reporting.job_groups where p_org_id is null or org_id = p_org_id
  order by array_position(array['urgent', 'high', 'normal', 'low'], priority), oldest_at, group_id
$$;
