-- The worker's running jobs whose output somebody watches now; see watch_log.
create or replace function qgjob.list_watched_jobs(p_worker_id bigint) returns table (job_ids bigint[])
language sql stable security definer
set search_path = pg_catalog, pg_temp as $$
  select coalesce(array_agg(live_log.job_id order by live_log.job_id), '{}')
  from qgjob.live_log
  join qgjob.job using (job_id)
  join qgjob.batch on batch.batch_id = job.batch_id
  where batch.worker_id = p_worker_id and live_log.watched_until > qgjob.now()
$$;
