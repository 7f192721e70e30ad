-- Is there a device that both selectors fit? Not where one wants another value than the other.
create or replace function qgjob.may_compete(p_one jsonb, p_other jsonb) returns boolean
language sql immutable parallel safe as $$
  select p_one || p_other = p_other || p_one
$$;
