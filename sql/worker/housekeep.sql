-- What has to happen without anyone asking. Every API and worker process calls it about once a second; one at a time does
-- the work, and the others are answered at once.
create or replace function qgjob.housekeep() returns table (expired integer, submitted integer)
language plpgsql volatile as $$
declare
  v_now timestamptz := qgjob.now();
begin
  if not pg_try_advisory_xact_lock(hashtextextended('qgjob.housekeep', 0)) then
    return query select 0, 0;
    return;
  end if;
  -- An empty marker: PostgreSQL has just crashed. One in the future: the clock went back.
  insert into qgjob.crash_marker (written_at) values (v_now)
  on conflict (only_row) do update set written_at = v_now where crash_marker.written_at > v_now;
  -- Leases granted before the clock went back must not outlive it.
  update qgjob.batch set expires_at = v_now + make_interval(secs => worker.lease_s)
  from qgjob.worker
  where batch.worker_id = worker.worker_id and batch.ended_at is null
    and batch.expires_at > v_now + make_interval(secs => worker.lease_s + 5);
  return query select qgjob.expire_batches(), qgjob.take_submissions();
end $$;
