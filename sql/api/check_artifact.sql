-- Refuse what could not become an artifact of this build; asked before a large file is sent. A build never changes: the
-- same content again is welcome, other content needs another app_version_id.
create or replace function qgjob.check_artifact(
  p_org_id text, p_app_version_id text, p_platform text, p_sha256 text, p_app_id text default null
) returns void language plpgsql stable security definer
set search_path = pg_catalog, pg_temp as $$
declare
  v_known text;
begin
  perform qgjob.require_name('org_id', p_org_id);
  perform qgjob.require_org(p_org_id);
  perform qgjob.require_name('app_version_id', p_app_version_id);
  if coalesce(p_platform not in ('android', 'ios'), true) then
    raise exception using errcode = 'QJ422', constraint = 'platform_is_known', column = 'platform',
      message = 'platform is android or ios.';
  end if;
  perform qgjob.check_sha256(p_sha256);
  if length(p_app_id) > 255 or p_app_id !~ '^[A-Za-z][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)+$' then
    -- It becomes part of commands on devices.
    raise exception using errcode = 'QJ422', constraint = 'app_id_is_a_name', column = 'app_id',
      message = 'app_id is a package name or bundle identifier, such as com.example.app.';
  end if;
  select sha256 into v_known from qgjob.artifact
  where org_id = p_org_id and app_version_id = p_app_version_id and platform = p_platform;
  if v_known <> p_sha256 then
    raise exception using errcode = 'QJ409', constraint = 'build_is_immutable', column = 'app_version_id',
      message = format('Build %s has another file for %s already: its SHA-256 begins with %s, this one''s with %s.',
        p_app_version_id, p_platform, left(v_known, 12), left(p_sha256, 12)),
      hint = 'A build never changes. Give the new file an app_version_id of its own.';
  end if;
end $$;
