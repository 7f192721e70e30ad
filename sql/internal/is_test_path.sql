-- Is this a path of a spec, relative to its project and inside of it? Not strict: PostgreSQL writes no strict function
-- into the query that calls it, and calling one takes most of what the check costs.
create or replace function qgjob.is_test_path(p_path text) returns boolean language sql immutable parallel safe as $$
  select length(p_path) <= 512
    and p_path ~ '^[^/\\\x01-\x1f\x7f-][^\\\x01-\x1f\x7f]*$'
    -- No part is empty, . or ..
    and position('//' in p_path || '/') = 0 and position('/./' in '/' || p_path || '/') = 0
    and position('/../' in '/' || p_path || '/') = 0
$$;
