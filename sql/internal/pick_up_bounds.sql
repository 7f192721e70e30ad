-- The upper bounds of the buckets that pick-ups are counted in, in seconds.
create or replace function qgjob.pick_up_bounds() returns double precision[] language sql immutable parallel safe as $$
  select array[0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5, 30, 60, 300, 1800]::double precision[]
$$;
