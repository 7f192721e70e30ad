-- Is a device that serves these organisations this one's alone? Then it takes nothing from anybody, and costs nothing.
create or replace function qgjob.is_own(p_org_ids text[], p_org_id text) returns boolean
language sql immutable parallel safe as $$
  select p_org_ids is not distinct from array[p_org_id]
$$;
