-- The word for a stored priority, 0 to 3.
create or replace function qgjob.priority_word(p_priority smallint) returns text
language sql immutable parallel safe as $$
  select (array['low', 'normal', 'high', 'urgent'])[p_priority + 1]
$$;
