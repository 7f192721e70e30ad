-- What to install for this platform; where none is named, the build's only artifact. No row: it has none, or two.
create or replace function qgjob.find_artifact(p_org_id text, p_app_version_id text, p_platform text)
returns setof qgjob.artifact language sql stable as $$
  select * from qgjob.artifact
  where org_id = p_org_id and app_version_id = p_app_version_id and (platform = p_platform or p_platform is null
    and 1 = (select count(*) from qgjob.artifact where org_id = p_org_id and app_version_id = p_app_version_id))
$$;
