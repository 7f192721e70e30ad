-- Every execution of every job, with the device that ran it and the batch it belonged to. A batch is one video: the attempt
-- begins at video_offset_s, as its executor measured it, else counted from when the session was open.
create or replace view reporting.attempts as
  select attempt.job_id, attempt.number, attempt.org_id, job_group.app_version_id, job_group.target, job.test_path,
    attempt.batch_id, device.name as device, worker.name as worker, attempt.status, attempt.failure_kind,
    attempt.message, attempt.tests, attempt.started_at, attempt.ended_at,
    extract(epoch from attempt.ended_at - attempt.started_at)::double precision as duration_s,
    batch.video_url,
    case when batch.video_url is not null then coalesce(attempt.video_offset_s,
      greatest(0, extract(epoch from attempt.started_at - batch.prepared_at)))::double precision end as video_offset_s
  from qgjob.attempt
  join qgjob.job using (job_id)
  join qgjob.batch on batch.batch_id = attempt.batch_id
  join qgjob.job_group on job_group.group_id = batch.group_id
  join qgjob.device on device.device_id = batch.device_id
  join qgjob.worker on worker.worker_id = batch.worker_id;
