-- Undo allow_reader. p_org_id null: whatever the role was allowed.
create or replace function qgjob.deny_reader(p_role_name text, p_org_id text default null) returns void
language sql volatile as $$
  delete from qgjob.reader where role_name = p_role_name and (p_org_id is null or org_id = p_org_id)
$$;
