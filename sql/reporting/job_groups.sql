-- The grouping at work: unfinished jobs that can share one installation, and the devices on them now.
create or replace view reporting.job_groups with (security_invoker = true) as
  select job_group.group_id, job_group.org_id, job_group.app_version_id, job_group.target, job_group.selector,
    job_group.reset, qgjob.priority_word(max(job.priority)) as priority,
    (count(*) filter (where job.status = 'pending'))::integer as pending,
    (count(*) filter (where job.status = 'queued'))::integer as queued,
    (count(*) filter (where job.status = 'running'))::integer as running,
    (count(distinct job.batch_id))::integer as devices,
    min(job.created_at) as oldest_at, job_group.grouped_by
  from qgjob.job_group
  join qgjob.job using (group_id)
  where job.finished_at is null
  group by job_group.group_id;
