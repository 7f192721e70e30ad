-- Every execution of every job, with the device that ran it, the batch it belonged to, and where its time went:
--   queue_s     from its creation, or from the end of the attempt before, until a device claimed it
--   install_s   the installation of the build, and session_s what else was prepared: once per batch, for all its attempts
--   reset_s, body_s, upload_s   resetting the app, the test itself, storing files: together duration_s
-- permanent: the failure is of the kind that no further attempt can help, and got none.
-- A batch is one video: the attempt begins at video_offset_s, as its executor measured it, else counted from when the
-- session was open.
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
    attempt.files, right(attempt.log, 2000) as log_tail, attempt.permanent
  from qgjob.attempt
  join qgjob.job using (job_id)
  join qgjob.batch on batch.batch_id = attempt.batch_id
  join qgjob.job_group on job_group.group_id = batch.group_id
  join qgjob.device on device.device_id = batch.device_id
  join qgjob.worker on worker.worker_id = batch.worker_id;
