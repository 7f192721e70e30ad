-- Whose rows the login of this session reads through qgjob_reader; '*' for everybody's.
create or replace function qgjob.readable_orgs() returns text[] language sql stable security definer
set search_path = pg_catalog, pg_temp as $$
  select coalesce(array_agg(org_id), '{}')
  from qgjob.reader join pg_roles on rolname = role_name
  where pg_has_role(session_user, pg_roles.oid, 'member')
$$;
