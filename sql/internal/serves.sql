-- May a worker or device that serves these organisations (null: all) run jobs of this one?
create or replace function qgjob.serves(p_org_ids text[], p_org_id text) returns boolean
language sql immutable parallel safe as $$
  select p_org_ids is null or p_org_id = any (p_org_ids)
$$;
