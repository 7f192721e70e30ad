-- The workers that were heard of within the last day.
create or replace view reporting.workers with (security_invoker = true) as
  select worker_id, name, version, qgjob.worker_status(worker) as status, targets,
    (select count(*) from qgjob.device where device.worker_id = worker.worker_id)::integer as devices,
    started_at, seen_at, org_ids
  from qgjob.worker
  where coalesce(ended_at, seen_at) > qgjob.now() - interval '1 day';

comment on view reporting.workers is
  'The workers that were heard of within the last day.';
comment on column reporting.workers.worker_id is 'The number of the worker.';
comment on column reporting.workers.name is 'Its name.';
comment on column reporting.workers.version is 'Its version of qgjob.';
comment on column reporting.workers.status is
  'live, draining (leaves when its tests have ended), lost (not heard of for longer than its lease) or ended.';
comment on column reporting.workers.targets is 'The kinds of devices that it drives.';
comment on column reporting.workers.devices is 'How many devices it drives; of a lost one: drove when it was heard of last.';
comment on column reporting.workers.started_at is 'When it registered.';
comment on column reporting.workers.seen_at is 'When it was heard of last.';
comment on column reporting.workers.org_ids is 'The organisations that it serves; null is everybody.';
