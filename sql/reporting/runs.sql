-- Every run: its jobs by status, and what grouping saved.
create or replace view reporting.runs with (security_invoker = true) as
  select run.run_id, run.org_id, run.app_version_id,
    case
      when run.finished_at is null then case when jobs.pending = run.total then 'pending' else 'running' end
      when jobs.failed > 0 then 'failed'
      when jobs.cancelled > 0 then 'cancelled'
      else 'completed' end as status,
    jobs.seq, run.total, jobs.pending, jobs.queued, jobs.running, jobs.completed, jobs.failed, jobs.cancelled,
    jobs.infrastructure, jobs.flaky, work.attempts, work.installs, work.install_s, work.saved_s,
    run.labels, run.created_at, run.finished_at,
    coalesce(run.client_until < run.cancelled_at, false) as lost_client
  from qgjob.run
  join lateral (
    select sum(job.version) + count(*) filter (where job.abandoned) as seq,
      (count(*) filter (where job.status = 'pending' and not job.abandoned))::integer as pending,
      (count(*) filter (where job.status = 'queued' and not job.abandoned))::integer as queued,
      (count(*) filter (where job.status = 'running' and not job.abandoned))::integer as running,
      (count(*) filter (where job.status = 'completed' and not job.abandoned))::integer as completed,
      (count(*) filter (where job.status = 'failed' and not job.abandoned))::integer as failed,
      (count(*) filter (where job.status = 'cancelled' or job.abandoned))::integer as cancelled,
      (count(*) filter (where job.failure_kind = 'infrastructure' and not job.abandoned))::integer as infrastructure,
      (count(*) filter (where job.flaky and not job.abandoned))::integer as flaky
    from qgjob.job_of_run as job
    where job.run_id = run.run_id
  ) as jobs on true
  join lateral (
    select coalesce(sum(served.attempts), 0)::integer as attempts,
      (count(served.batch_id) filter (where batch.installed_at is not null))::integer as installs,
      coalesce(sum(extract(epoch from batch.installed_at - batch.claimed_at)), 0)::double precision as install_s,
      coalesce(sum(qgjob.saved_s(batch, served.attempts, timing.mean_s)), 0) as saved_s
    from (
      select attempt.batch_id, count(*) as attempts
      from qgjob.job_of_run, lateral (
        select batch_id from qgjob.attempt where attempt.job_id = job_of_run.job_id offset 0
      ) as attempt
      where job_of_run.run_id = run.run_id
      group by attempt.batch_id
    ) as served
    join qgjob.batch using (batch_id)
    join qgjob.job_group using (group_id)
    left join qgjob.install_timing as timing on timing.org_id = run.org_id and timing.target = job_group.target
  ) as work on true;

comment on view reporting.runs is
  'Every run: its jobs by status, and what grouping saved.';
comment on column reporting.runs.run_id is 'The number of the run.';
comment on column reporting.runs.org_id is 'The organisation that it belongs to.';
comment on column reporting.runs.app_version_id is 'The build: the version of the app.';
comment on column reporting.runs.status is
  'pending, running, completed (every test passed), failed or cancelled (some were, and none failed).';
comment on column reporting.runs.seq is 'Grows with every change of one of its jobs.';
comment on column reporting.runs.total is 'Jobs that it waits for, or did.';
comment on column reporting.runs.pending is 'Jobs that wait for a device.';
comment on column reporting.runs.queued is 'Jobs in the batch of a device that have not started.';
comment on column reporting.runs.running is 'Jobs that run now.';
comment on column reporting.runs.completed is 'Jobs that passed.';
comment on column reporting.runs.failed is 'Jobs that failed, infrastructure included.';
comment on column reporting.runs.cancelled is 'Jobs that were cancelled, or left to another run when this one was.';
comment on column reporting.runs.infrastructure is
  'Jobs that failed because devices or workers were lost, not because of a test.';
comment on column reporting.runs.flaky is 'Jobs that passed after an attempt that had failed.';
comment on column reporting.runs.attempts is 'Executions of its jobs.';
comment on column reporting.runs.installs is 'Installations that were made for batches that served it.';
comment on column reporting.runs.install_s is 'Seconds that these took.';
comment on column reporting.runs.saved_s is
  'Seconds that one installation for each attempt would have cost more: each as long as that of its batch, or as '
  'one usually takes where the batch found its build on the device. Runs that share jobs each tell of all of them. '
  'Attempts that were lost before anything ran save nothing. What one usually takes changes, and so may this, a little, '
  'afterwards.';
comment on column reporting.runs.labels is 'What its submitter said of it, such as branch or repo.';
comment on column reporting.runs.created_at is 'When it was submitted.';
comment on column reporting.runs.finished_at is 'When its last job ended; null until then.';
comment on column reporting.runs.lost_client is
  'It was cancelled because the client that waited for it was not heard of any more.';
