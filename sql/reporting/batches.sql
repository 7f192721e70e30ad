-- Every batch: one device, one build, at most one installation, and the attempts it served.
create or replace view reporting.batches with (security_invoker = true) as
  select batch.batch_id, batch.org_id, job_group.app_version_id, job_group.target, device.name as device,
    worker.name as worker, batch.installed_at is not null as installed,
    extract(epoch from batch.installed_at - batch.claimed_at)::double precision as install_s,
    extract(epoch from coalesce(batch.ended_at, qgjob.now()) - batch.claimed_at)::double precision as device_s,
    (select count(*) from qgjob.attempt where attempt.batch_id = batch.batch_id)::integer as attempts,
    batch.claimed_at, batch.ended_at, batch.end_reason
  from qgjob.batch
  join qgjob.job_group using (group_id)
  join qgjob.device using (device_id)
  join qgjob.worker on worker.worker_id = batch.worker_id;
