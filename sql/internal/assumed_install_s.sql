-- Seconds to install a build, as long as nothing measured says otherwise.
create or replace function qgjob.assumed_install_s() returns double precision language sql immutable as $$
  select 30.0::double precision
$$;
