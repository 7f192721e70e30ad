-- A watched job has printed more: p_log follows the first p_after characters of its attempt. May be repeated; nothing
-- happens under a lease that is no longer held, nor where nobody watches.
create or replace function qgjob.write_live_log(p_lease bigint, p_job_id bigint, p_after bigint, p_log text)
returns void language sql volatile security definer
set search_path = pg_catalog, pg_temp as $$
  update qgjob.live_log set
    batch_id = p_lease, length = p_after + length(p_log),
    log = right(case when batch_id = p_lease and length = p_after then log || p_log else p_log end, 65536)
  where job_id = p_job_id and (batch_id is distinct from p_lease or length < p_after + length(p_log))
    and exists (select from qgjob.job where job.job_id = p_job_id and job.batch_id = p_lease)
    and qgjob.may_write(p_lease)
$$;
