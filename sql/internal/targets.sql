-- The kinds of devices.
create or replace function qgjob.targets() returns text[] language sql immutable parallel safe as $$
  select array['emulator', 'device', 'browserstack']
$$;
