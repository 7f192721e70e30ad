-- Seconds of work that pending jobs of this group are predicted to take, of its first p_most.
drop function if exists qgjob.remaining_s(bigint);
create or replace function qgjob.remaining_s(p_group_id bigint, p_most integer default 500) returns double precision
language sql stable as $$
  select coalesce(sum(predicted_s), 0)::double precision
  from (
    select predicted_s from qgjob.job where group_id = p_group_id and status = 'pending'
    order by priority desc, failed_before desc, predicted_s desc, job_id limit p_most
  ) as pending
$$;
