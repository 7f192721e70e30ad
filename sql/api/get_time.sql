-- The time it is, for whoever has to work something out from it.
create or replace function qgjob.get_time() returns table (now timestamptz) language sql volatile as $$
  select qgjob.now()
$$;
