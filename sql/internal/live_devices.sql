-- The devices that live workers drive and that are not in quarantine: those that work can wait for. Workers that have ended
-- stay in their table, so they are left out where an index knows it.
create or replace function qgjob.live_devices() returns setof qgjob.device language sql stable as $$
  select device.*
  from qgjob.device join qgjob.worker using (worker_id)
  where quarantined_at is null and worker.ended_at is null and qgjob.worker_status(worker) = 'live'
$$;
