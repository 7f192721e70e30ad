-- Ask these workers to send their next heartbeat now. A hint: it comes anyway, a little later.
create or replace function qgjob.call_workers(p_worker_ids bigint[]) returns void language sql volatile as $$
  select pg_notify('qgjob_worker', worker_id::text) from unnest(p_worker_ids) as worker_id
$$;
