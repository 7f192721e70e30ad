-- Builds, newest first, with what is installed for each platform. p_before continues a page: the created_at of its last.
drop function if exists qgjob.list_builds(text, integer, timestamptz);
create or replace function qgjob.list_builds(
  p_org_id text default null, p_limit integer default 50, p_before timestamptz default null,
  p_app_version_id text default null
) returns table (org_id text, app_version_id text, created_at timestamptz, artifacts jsonb) language sql stable as $$
  select org_id, app_version_id, created_at, (
    select coalesce(jsonb_agg(jsonb_build_object('platform', platform, 'url', url, 'sha256', sha256, 'size', size,
      'app_id', app_id, 'created_at', created_at) order by platform), '[]')
    from qgjob.artifact
    where artifact.org_id = build.org_id and artifact.app_version_id = build.app_version_id)
  from qgjob.build
  where (p_org_id is null or org_id = p_org_id) and (p_before is null or created_at < p_before)
    and (p_app_version_id is null or app_version_id = p_app_version_id)
  order by created_at desc, org_id, app_version_id
  limit qgjob.page_limit(p_limit)
$$;
