-- Seconds until the device will have done what it holds. A test that is late is expected to be late by as much again.
create or replace function qgjob.busy_s(p_batch_id bigint) returns double precision language sql stable as $$
  select coalesce(sum(abs(predicted_s - coalesce(extract(epoch from qgjob.now() - started_at), 0))), 0)::double precision
  from qgjob.job where batch_id = p_batch_id
$$;
