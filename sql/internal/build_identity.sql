-- What a device holds when this build is installed on it: the content's hash, or the version's name where no artifact is
-- known. Inside its organisation, for an app's data stays on the device with it.
drop function if exists qgjob.build_identity(text, text);
create or replace function qgjob.build_identity(p_org_id text, p_app_version_id text, p_platform text) returns text
language sql stable as $$
  select p_org_id || '/' || coalesce(
    (select 'sha256:' || sha256 from qgjob.find_artifact(p_org_id, p_app_version_id, p_platform)), p_app_version_id)
$$;
