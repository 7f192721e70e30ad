-- May this live batch be taken from its device? After a crash of PostgreSQL everybody first gets the time of one lease
-- to be heard of again.
create or replace function qgjob.is_expired(p_batch qgjob.batch) returns boolean language sql volatile as $$
  select p_batch.ended_at is null and qgjob.now() > greatest(
    p_batch.expires_at,
    make_interval(secs => worker.lease_s) + greatest(
      pg_postmaster_start_time(),
      (select written_at from qgjob.crash_marker)))
  from qgjob.worker where worker_id = p_batch.worker_id
$$;
