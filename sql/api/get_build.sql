-- One build, with what is installed for each platform.
create or replace function qgjob.get_build(p_org_id text, p_app_version_id text)
returns table (org_id text, app_version_id text, created_at timestamptz, artifacts jsonb) language plpgsql stable as $$
begin
  return query select * from qgjob.list_builds(p_org_id, p_limit => 1, p_app_version_id => p_app_version_id);
  if not found then
    raise exception using errcode = 'QJ404', constraint = 'build_exists',
      message = format('%s has no build %s.', p_org_id, p_app_version_id),
      hint = 'A build is there from the first run of it, or from the first file that is added.';
  end if;
end $$;
