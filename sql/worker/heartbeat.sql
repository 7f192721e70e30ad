-- The worker is alive: renew the leases of all its batches, and learn which are held, which of those have no job left
-- (no use in installing for them), which to drain (finish the running test, give back the rest), which running jobs to
-- stop, which devices to probe because their health has quarantined them (see report_health), and whether to drain all.
-- A renewal after expiry counts as long as nobody has taken the batch.
drop function if exists qgjob.heartbeat(bigint);
create or replace function qgjob.heartbeat(p_worker_id bigint)
returns table (
  draining boolean, leases bigint[], empty_leases bigint[], drain_leases bigint[], stop_jobs bigint[],
  sick_devices bigint[]
) language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_mergejoin = off as $$
declare
  v_worker qgjob.worker := qgjob.require_worker(p_worker_id);
  v_now timestamptz := qgjob.now();
  v_leases bigint[];
begin
  -- Batches by id and before the worker, as everywhere.
  v_leases := array(
    select batch_id from qgjob.batch where worker_id = p_worker_id and ended_at is null
    order by batch_id for no key update);
  update qgjob.batch set expires_at = v_now + make_interval(secs => v_worker.lease_s)
  where batch_id = any (v_leases);
  update qgjob.worker set seen_at = v_now where worker_id = p_worker_id;
  return query select v_worker.draining, v_leases, array(
    select lease from unnest(v_leases) as lease
    where not exists (select from qgjob.job where batch_id = lease)
  ), array(
    select batch_id from qgjob.batch join qgjob.device using (device_id)
    where batch_id = any (v_leases) and quarantined_at is not null
  ), array(
    select job_id from qgjob.job where batch_id = any (v_leases) and cancel_requested_at is not null
  ), array(
    select device_id from qgjob.device where worker_id = p_worker_id and quarantined_by = 'health');
end $$;
