-- The workers that were heard of within the last day. org_ids: whom it serves, null for everybody.
create or replace view reporting.workers with (security_invoker = true) as
  select worker_id, name, version, qgjob.worker_status(worker) as status, targets,
    (select count(*) from qgjob.device where device.worker_id = worker.worker_id)::integer as devices,
    started_at, seen_at, org_ids
  from qgjob.worker
  where coalesce(ended_at, seen_at) > qgjob.now() - interval '1 day';
