-- Seconds to run one test, as long as nothing measured says otherwise.
create or replace function qgjob.assumed_test_s() returns double precision language sql immutable as $$
  select 30.0::double precision
$$;
