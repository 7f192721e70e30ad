-- Every batch: one device, one build, at most one installation, and the attempts it served.
create or replace view reporting.batches with (security_invoker = true) as
  select batch.batch_id, batch.org_id, job_group.app_version_id, job_group.target, device.name as device,
    worker.name as worker, batch.installed_at is not null as installed,
    extract(epoch from batch.installed_at - batch.claimed_at)::double precision as install_s,
    extract(epoch from coalesce(batch.ended_at, qgjob.now()) - batch.claimed_at)::double precision as device_s,
    served.attempts::integer as attempts,
    batch.claimed_at, batch.ended_at, batch.end_reason, qgjob.installs_avoided(batch, served.attempts)::integer as avoided,
    qgjob.saved_s(batch, served.attempts, timing.mean_s) as saved_s
  from qgjob.batch
  cross join lateral (
    select count(*) as attempts from qgjob.attempt where attempt.batch_id = batch.batch_id
  ) as served
  join qgjob.job_group using (group_id)
  join qgjob.device using (device_id)
  join qgjob.worker on worker.worker_id = batch.worker_id
  left join qgjob.install_timing as timing on timing.org_id = batch.org_id and timing.target = job_group.target;

comment on view reporting.batches is
  'Every batch: one device, one build, at most one installation, and the attempts it served.';
comment on column reporting.batches.batch_id is 'The number of the batch, and of its lease.';
comment on column reporting.batches.org_id is 'The organisation that it belongs to.';
comment on column reporting.batches.app_version_id is 'The build: the version of the app.';
comment on column reporting.batches.target is 'The kind of device: emulator, device or browserstack.';
comment on column reporting.batches.device is 'The device that held it.';
comment on column reporting.batches.worker is 'The worker that drove the device.';
comment on column reporting.batches.installed is 'The build was installed for it; else it was on the device already.';
comment on column reporting.batches.install_s is 'Seconds that the installation took.';
comment on column reporting.batches.device_s is 'Seconds that it held the device, so far or until it ended.';
comment on column reporting.batches.attempts is 'Executions of jobs that it served.';
comment on column reporting.batches.claimed_at is 'When the device claimed it.';
comment on column reporting.batches.ended_at is 'When it ended; null while the device holds it.';
comment on column reporting.batches.end_reason is
  'done, drained (the worker left), busy (no room at the device cloud), unprepared (no installation or session), '
  'unfetched (the worker could not have the build''s file), '
  'refused (no device can take the build), expired (the worker was lost) or replaced (another took the device '
  'over).';
comment on column reporting.batches.avoided is 'Attempts that needed no installation of their own.';
comment on column reporting.batches.saved_s is
  'Seconds that installations for these would have taken: each as long as that of the batch, or as one usually takes where '
  'it found its build on the device.';
