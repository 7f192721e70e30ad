-- Say what is installed for a build on a platform. `added` is false where that was known; its url and app_id are then
-- brought up to date. Groups of the build that already wait get the content as their identity, so devices install it
-- before they go on; a batch that runs keeps the identity that it was claimed with.
--   url   builds/<org_id>/<sha256>.<suffix> in the object store, http(s)://, file:/// on the worker's machine, or bs://
create or replace function qgjob.add_artifact(
  p_org_id text, p_app_version_id text, p_platform text, p_url text, p_sha256 text, p_size bigint default null,
  p_app_id text default null
) returns table (
  org_id text, app_version_id text, platform text, url text, sha256 text, size bigint, app_id text,
  created_at timestamptz, added boolean
) language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  v_now timestamptz := qgjob.now();
  v_key text := format('builds/%s/%s.', p_org_id, p_sha256);
  v_added boolean;
begin
  perform qgjob.require_name('org_id', p_org_id);
  perform qgjob.require_org(p_org_id);
  perform qgjob.require_name('app_version_id', p_app_version_id);
  if p_size <= 0 then
    raise exception using errcode = 'QJ422', constraint = 'size_is_positive', column = 'size',
      message = 'The file is empty.';
  elsif coalesce(length(p_url) > 2000 or not (
      p_url ~ '^(https?|bs)://[!-~]+$' or p_url ~ '^file:///[!-~]+$'
      -- Only the organisation's own content, and only under its own hash.
      or starts_with(p_url, v_key) and substr(p_url, length(v_key) + 1) ~ '^[a-z]{1,8}$'), true)
      or p_url ~ '^https?://[^/]*@' then
    raise exception using errcode = 'QJ422', constraint = 'url_is_usable', column = 'url',
      message = 'The url of an artifact is http(s)://, without user and password, file:/// or bs://.';
  end if;
  perform qgjob.make_orgs(array[p_org_id]);
  insert into qgjob.build (org_id, app_version_id, created_at) values (p_org_id, p_app_version_id, v_now)
  on conflict do nothing;
  -- Submissions hold a share lock on their build from before they ask for its identity: after this, each of them either
  -- has committed its groups or will see the artifact. Not for update: who changes a group twice takes a key share lock on
  -- its build, and would be waited for below.
  perform from qgjob.build where org_id = p_org_id and app_version_id = p_app_version_id for no key update;
  perform qgjob.check_artifact(p_org_id, p_app_version_id, p_platform, p_sha256, p_app_id);

  v_added := not exists (select from qgjob.artifact
    where org_id = p_org_id and app_version_id = p_app_version_id and platform = p_platform);
  insert into qgjob.artifact as known
    (org_id, app_version_id, platform, url, sha256, size, app_id, created_at)
  values (p_org_id, p_app_version_id, p_platform, p_url, p_sha256, p_size, p_app_id, v_now)
  on conflict on constraint artifact_pkey do update set
    url = excluded.url, size = coalesce(excluded.size, known.size), app_id = coalesce(excluded.app_id, known.app_id);
  if v_added then
    perform from qgjob.job_group where org_id = p_org_id and app_version_id = p_app_version_id
    order by group_id for no key update;
    update qgjob.job_group set build = qgjob.build_identity(org_id, app_version_id, selector ->> 'platform')
    where org_id = p_org_id and app_version_id = p_app_version_id
      and build <> qgjob.build_identity(org_id, app_version_id, selector ->> 'platform');
  end if;
  return query
  select org_id, app_version_id, platform, url, sha256, size, app_id, created_at, v_added from qgjob.artifact
  where org_id = p_org_id and app_version_id = p_app_version_id and platform = p_platform;
end $$;
