-- From now on GitHub Actions of this owner's repository (null: of all the owner's), and only on this ref, in this
-- environment, by this event where one is named, get tokens of the organisation. Owner and repository are GitHub's ids:
-- names can be given up and taken by others. May be repeated.
create or replace function qgjob.add_trust(
  p_org_id text, p_issuer text, p_repository_owner_id text, p_repository_id text default null, p_ref text default null,
  p_environment text default null, p_event_name text default null
) returns table (
  trust_id bigint, org_id text, issuer text, repository_owner_id text, repository_id text, ref text, environment text,
  event_name text, created_at timestamptz
) language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  v_now timestamptz := qgjob.now();
begin
  perform qgjob.require_name('org_id', p_org_id);
  perform qgjob.require_org(p_org_id);
  if p_issuer is null or length(p_issuer) not between 1 and 255 then
    raise exception using errcode = 'QJ422', constraint = 'issuer_is_short', column = 'issuer',
      message = 'issuer is the address of who signs the tokens, of at most 255 characters.';
  elsif coalesce(p_repository_owner_id !~ '^[0-9]{1,20}$', true) then
    raise exception using errcode = 'QJ422', constraint = 'owner_id_is_a_number', column = 'repository_owner_id',
      message = 'repository_owner_id is the number that GitHub gave to the owner of the repository.',
      hint = 'gh api users/OWNER --jq .id';
  elsif p_repository_id !~ '^[0-9]{1,20}$' then
    raise exception using errcode = 'QJ422', constraint = 'repository_id_is_a_number', column = 'repository_id',
      message = 'repository_id is the number that GitHub gave to the repository.',
      hint = 'gh api repos/OWNER/NAME --jq .id';
  elsif p_ref !~ '^refs/' then
    raise exception using errcode = 'QJ422', constraint = 'ref_is_complete', column = 'ref',
      message = 'ref is a complete one, such as refs/heads/main: no other is ever in a token of GitHub.';
  elsif p_event_name = 'pull_request_target' then
    raise exception using errcode = 'QJ422', constraint = 'event_can_be_trusted', column = 'event_name',
      message = 'pull_request_target is never trusted: it runs with rights of the repository on behalf of anybody.';
  elsif '' in (p_ref, p_environment, p_event_name) or greatest(length(p_ref), length(p_environment), length(p_event_name)) > 255 then
    raise exception using errcode = 'QJ422', constraint = 'trust_is_readable', column = 'ref',
      message = 'ref, environment and event_name have 1 to 255 characters where they are given.';
  end if;
  perform qgjob.make_orgs(array[p_org_id]);
  insert into qgjob.trust (org_id, issuer, repository_owner_id, repository_id, ref, environment, event_name, created_at)
  values (p_org_id, p_issuer, p_repository_owner_id, p_repository_id, p_ref, p_environment, p_event_name, v_now)
  on conflict on constraint trust_is_said_once do nothing;
  return query
  select trust_id, org_id, issuer, repository_owner_id, repository_id, ref, environment, event_name, created_at
  from qgjob.trust
  where (org_id, issuer, repository_owner_id) = (p_org_id, p_issuer, p_repository_owner_id)
    and (repository_id, ref, environment, event_name)
      is not distinct from (p_repository_id, p_ref, p_environment, p_event_name);
end $$;
