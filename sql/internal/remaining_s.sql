-- Seconds of work that pending jobs of this group are predicted to take; at most 500 jobs are counted.
create or replace function qgjob.remaining_s(p_group_id bigint) returns double precision language sql stable as $$
  select coalesce(sum(predicted_s), 0)::double precision
  from (
    select predicted_s from qgjob.job where group_id = p_group_id and status = 'pending'
    order by priority desc, failed_before desc, predicted_s desc, job_id limit 500
  ) as pending
$$;
