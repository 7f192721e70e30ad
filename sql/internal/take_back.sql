-- For a device that finds nothing pending: half of the jobs that another device holds and has not started, where they are
-- more work than an install takes, or wait for a test that takes four installs' time, but no more than p_max_s, and one at
-- least. Whoever holds them is told when it comes to start them. The jobs are locked, and the organisation's lanes are
-- taken, which whoever claims them may charge: who ends a batch holds lanes, too, and waits for others, so these are not
-- waited for.
drop function if exists qgjob.take_back(qgjob.device, integer);
create or replace function qgjob.take_back(
  p_device qgjob.device, p_max_jobs integer, p_max_s double precision, out p_group_id bigint, out p_job_ids bigint[]
)
language plpgsql volatile as $$
declare
  v_batch bigint;
  v_org text;
  v_held bigint;
begin
  p_job_ids := '{}';
  select batch.batch_id, batch.group_id, batch.org_id, queued.jobs into v_batch, p_group_id, v_org, v_held
  from qgjob.batch
  join qgjob.job_group using (group_id)
  join lateral (
    select count(*) as jobs, sum(predicted_s) as work_s from qgjob.job
    where job.batch_id = batch.batch_id and status = 'queued'
  ) as queued on queued.jobs > 0
  where batch.ended_at is null and batch.device_id <> p_device.device_id
    and job_group.target = p_device.target and p_device.labels @> job_group.selector
    and qgjob.serves(p_device.org_ids, batch.org_id)
    -- A device that has only just claimed is about to start one itself.
    and (queued.jobs > 1 or exists (
      select from qgjob.job where job.batch_id = batch.batch_id and status = 'running'))
    and (job_group.build = p_device.installed_build
      or queued.work_s > qgjob.install_s(batch.org_id, job_group.target)
      or qgjob.busy_s(batch.batch_id) > queued.work_s + 4 * qgjob.install_s(batch.org_id, job_group.target))
    and qgjob.has_room(batch.org_id)
  order by queued.work_s desc limit 1;
  if v_batch is null or not qgjob.take_room(v_org, false) then
    return;
  end if;
  if not qgjob.take_lanes(v_org, p_device.target, false) then
    return;
  end if;

  select count(*) into v_held
  from (
    select sum(predicted_s) over (order by priority, failed_before, predicted_s, job_id desc) as until_s
    from (
      select * from qgjob.job where batch_id = v_batch and status = 'queued'
      order by priority, failed_before, predicted_s, job_id desc limit least(p_max_jobs, ceil(v_held / 2.0))
    ) as half
  ) as taken
  where until_s <= coalesce(p_max_s, 'infinity');
  p_job_ids := array(
    select job_id from qgjob.job where batch_id = v_batch and status = 'queued'
    order by priority, failed_before, predicted_s, job_id desc limit greatest(1, v_held)
    for no key update skip locked);
end $$;
