-- Whether a pattern stands for this event, as pgmq understands patterns: * is one word, # any number of them.
create or replace function qgjob.matches_event(p_pattern text, p_event text) returns boolean
language sql immutable parallel safe as $$
  select p_event ~ ('^' || replace(replace(replace(p_pattern, '.', '\.'), '*', '[^.]+'), '#', '.*') || '$')
$$;
