-- The organisations and their settings, by name; null: no limit. `devices`: those that serve it now.
drop function if exists qgjob.list_orgs(text);
create or replace function qgjob.list_orgs(p_org_id text default null)
returns table (
  org_id text, weight real, max_devices integer, max_pending_jobs integer, requests_per_minute integer,
  group_by text[], devices integer, created_at timestamptz, keep_days integer
) language sql stable as $$
  select org_id, weight, max_devices, max_pending_jobs, requests_per_minute, group_by,
    (select count(*)::integer from qgjob.batch where batch.org_id = org.org_id and ended_at is null), created_at,
    keep_days
  from qgjob.org where p_org_id is null or org_id = p_org_id
  order by org_id
$$;
