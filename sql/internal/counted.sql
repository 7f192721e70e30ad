-- How far a counter has come; 0 where it has not begun.
create or replace function qgjob.counted(p_counter regclass) returns bigint language sql volatile as $$
  select coalesce(pg_sequence_last_value(p_counter), 0)
$$;
