-- Every execution of every job, with the device that ran it, the batch it belonged to, and where its time went. A batch is
-- one video.
create or replace view reporting.attempts with (security_invoker = true) as
  select attempt.job_id, attempt.number, attempt.org_id, job_group.app_version_id, job_group.target, job.test_path,
    attempt.batch_id, device.name as device, worker.name as worker, attempt.status, attempt.failure_kind,
    attempt.message, attempt.tests, attempt.started_at, attempt.ended_at,
    extract(epoch from attempt.ended_at - attempt.started_at)::double precision as duration_s,
    greatest(0, extract(epoch from batch.claimed_at - coalesce((
      select earlier.ended_at from qgjob.attempt as earlier
      where earlier.job_id = attempt.job_id and earlier.number = attempt.number - 1
    ), job.created_at)))::double precision as queue_s,
    coalesce(extract(epoch from batch.installed_at - batch.claimed_at), 0)::double precision as install_s,
    extract(epoch from batch.prepared_at - coalesce(batch.installed_at, batch.claimed_at))::double precision as session_s,
    attempt.reset_s::double precision as reset_s,
    greatest(0, extract(epoch from attempt.ended_at - attempt.started_at)::double precision
      - coalesce(attempt.reset_s, 0) - coalesce(attempt.upload_s, 0)) as body_s,
    attempt.upload_s::double precision as upload_s, batch.video_url,
    coalesce(attempt.video_offset_s, case when batch.video_url is not null
      then greatest(0, extract(epoch from attempt.started_at - batch.prepared_at)) end)::double precision as video_offset_s,
    attempt.files, right(attempt.log, 2000) as log_tail, attempt.permanent,
    greatest(0, extract(epoch from attempt.started_at
      - coalesce(batch.prepared_at, batch.installed_at, batch.claimed_at)))::double precision as batch_s
  from qgjob.attempt
  join qgjob.job using (job_id)
  join qgjob.batch on batch.batch_id = attempt.batch_id
  join qgjob.job_group on job_group.group_id = batch.group_id
  join qgjob.device on device.device_id = batch.device_id
  join qgjob.worker on worker.worker_id = batch.worker_id;

comment on view reporting.attempts is
  'Every execution of every job, with the device that ran it, the batch it belonged to, and where its time went.';
comment on column reporting.attempts.job_id is 'The job that was executed.';
comment on column reporting.attempts.number is 'Counts the attempts of the job from 1.';
comment on column reporting.attempts.org_id is 'The organisation that it belongs to.';
comment on column reporting.attempts.app_version_id is 'The build: the version of the app.';
comment on column reporting.attempts.target is 'The kind of device: emulator, device or browserstack.';
comment on column reporting.attempts.test_path is 'The spec file, relative to its project.';
comment on column reporting.attempts.batch_id is 'The batch that it was part of.';
comment on column reporting.attempts.device is 'The device that ran it.';
comment on column reporting.attempts.worker is 'The worker that drove the device.';
comment on column reporting.attempts.status is 'completed (passed), failed or cancelled.';
comment on column reporting.attempts.failure_kind is
  'Why it failed: test, timeout or infrastructure (a device or a worker was lost); else null.';
comment on column reporting.attempts.message is 'What went wrong, in short.';
comment on column reporting.attempts.tests is 'The tests of the spec file and how each went, as the test runner told.';
comment on column reporting.attempts.started_at is 'When it began.';
comment on column reporting.attempts.ended_at is 'When it ended.';
comment on column reporting.attempts.duration_s is 'Seconds from its begin to its end.';
comment on column reporting.attempts.queue_s is
  'Seconds from the submission, or from the end of the attempt before, until a device claimed the job.';
comment on column reporting.attempts.install_s is
  'Seconds of the installation of the build: once for the batch, shown for each of its attempts.';
comment on column reporting.attempts.session_s is
  'Seconds of what else was prepared, such as the session: once for the batch, too.';
comment on column reporting.attempts.reset_s is 'Seconds of duration_s that resetting the app took.';
comment on column reporting.attempts.body_s is 'Seconds of duration_s that the test itself took.';
comment on column reporting.attempts.upload_s is 'Seconds of duration_s that storing files took.';
comment on column reporting.attempts.video_url is 'The video of the batch.';
comment on column reporting.attempts.video_offset_s is
  'Where the attempt begins in the video, in seconds: as its executor measured it, else counted from when the '
  'session was open.';
comment on column reporting.attempts.files is
  'The files that it left: name, content_type, size, and key in the object store.';
comment on column reporting.attempts.log_tail is 'The last 2000 characters of what it printed.';
comment on column reporting.attempts.permanent is
  'The failure is of the kind that no further attempt can help, and got none.';
comment on column reporting.attempts.batch_s is
  'Seconds from when the device was ready until it began: the attempts before it in the batch, and the start of the '
  'test runner.';
