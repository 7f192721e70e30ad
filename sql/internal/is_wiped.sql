-- Does a device of this target forget its build with the session of a batch? Those of a device cloud do.
create or replace function qgjob.is_wiped(p_target text) returns boolean language sql immutable parallel safe as $$
  select p_target = 'browserstack'
$$;
