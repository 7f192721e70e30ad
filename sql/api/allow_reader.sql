-- Let a login, or the members of a role, read the rows of an organisation ('*': of all) in the views of reporting. It
-- needs the role qgjob_reader, too. For the owner of the database, from psql; undone by deny_reader.
create or replace function qgjob.allow_reader(p_role_name text, p_org_id text) returns void language plpgsql volatile as $$
begin
  if not exists (select from pg_roles where rolname = p_role_name) then
    raise exception using errcode = 'QJ404', constraint = 'role_exists', column = 'role_name',
      message = format('There is no role %s.', p_role_name);
  elsif p_org_id is distinct from '*' and not exists (select from qgjob.org where org_id = p_org_id) then
    raise exception using errcode = 'QJ404', constraint = 'org_exists', column = 'org_id',
      message = format('There is no organisation %s.', p_org_id);
  end if;
  insert into qgjob.reader (role_name, org_id) values (p_role_name, p_org_id) on conflict do nothing;
end $$;
