-- How many rows of a list are wanted: null is all of them, and what is below zero is none instead of an error.
create or replace function qgjob.page_limit(p_limit integer) returns integer language sql immutable parallel safe as $$
  select case when p_limit < 0 then 0 else p_limit end
$$;
