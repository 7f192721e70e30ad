-- What a device holds when this build is installed on it. Builds are not yet given artifacts whose content hash would
-- say it better, so it is the name, inside its organisation.
create or replace function qgjob.build_identity(p_org_id text, p_app_version_id text) returns text
language sql immutable parallel safe as $$
  select p_org_id || '/' || p_app_version_id
$$;
