-- May this live batch be taken from its device? After a crash of PostgreSQL everybody first gets the time of one lease
-- to be heard of again. Without a crash marker PostgreSQL has just crashed; a start in the future only says that the
-- clock went back since.
create or replace function qgjob.is_expired(p_batch qgjob.batch) returns boolean language sql volatile as $$
  select p_batch.ended_at is null and clock.now > greatest(
    p_batch.expires_at,
    make_interval(secs => worker.lease_s) + greatest(
      case when pg_postmaster_start_time() <= clock.now then pg_postmaster_start_time() end,
      coalesce((select written_at from qgjob.crash_marker), clock.now)))
  from qgjob.worker, qgjob.now() as clock (now) where worker_id = p_batch.worker_id
$$;
