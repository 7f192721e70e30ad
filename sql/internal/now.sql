-- The only clock. Tests may move it for their own session; nothing else sets qgjob.now.
create or replace function qgjob.now() returns timestamptz language sql volatile parallel safe as $$
  select coalesce(nullif(current_setting('qgjob.now', true), '')::timestamptz, clock_timestamp())
$$;
