-- So many attempts of this batch have just been recorded: count them, and what installs_avoided says of them. For
-- monitoring only.
drop function if exists qgjob.count_attempts(bigint, integer);
create or replace function qgjob.count_attempts(p_batch_id bigint, p_attempts integer) returns void
language plpgsql volatile as $$
declare
  v_avoided bigint;
begin
  perform nextval('qgjob.count_attempts') from generate_series(1, p_attempts);
  select qgjob.installs_avoided(batch, known.attempts) - qgjob.installs_avoided(batch, known.attempts - p_attempts)
  into v_avoided
  from qgjob.batch, lateral (
    select count(*) as attempts from (select from qgjob.attempt where batch_id = p_batch_id limit p_attempts + 1) as first
  ) as known
  where batch_id = p_batch_id;
  perform nextval('qgjob.count_avoided') from generate_series(1, v_avoided);
end $$;
