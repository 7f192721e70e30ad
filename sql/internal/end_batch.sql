-- End a live batch and give its unfinished jobs back to their group at once. Nothing happens if it has ended already.
--   done, drained        the worker gives back what it did not finish: no attempt is counted
--   unprepared           the build could not be installed or the session not opened: a loss for every job of the batch
--   expired, replaced    the worker was lost: a loss for the job that was running
-- A loss is an attempt that ended as failed/infrastructure. Three are taken up again, the fourth ends the job.
create or replace function qgjob.end_batch(p_batch_id bigint, p_reason text, p_message text default null)
returns void language plpgsql volatile as $$
declare
  v_now timestamptz := qgjob.now();
  v_device qgjob.device;
  v_worker text;
  v_group qgjob.job_group;
  v_jobs bigint[];
  v_final bigint[];
begin
  -- Device before batch, as everywhere.
  select device.* into v_device from qgjob.device
  where device_id = (select device_id from qgjob.batch where batch_id = p_batch_id) for no key update;
  update qgjob.batch set ended_at = v_now, end_reason = p_reason where batch_id = p_batch_id and ended_at is null;
  if not found then
    return;
  end if;
  select job_group.* into v_group from qgjob.job_group join qgjob.batch using (group_id) where batch_id = p_batch_id;
  select worker.name into v_worker from qgjob.worker join qgjob.batch using (worker_id) where batch_id = p_batch_id;
  if p_reason in ('unprepared', 'expired', 'replaced') then
    update qgjob.device set installed_build = null, installed_at = null where device_id = v_device.device_id;
  end if;

  v_jobs := array(select job_id from qgjob.job where batch_id = p_batch_id order by job_id for no key update);

  with lost as (
    update qgjob.job set attempts = attempts + 1, losses = losses + 1
    where job_id = any (v_jobs) and cancel_requested_at is null
      and (p_reason = 'unprepared' or (p_reason in ('expired', 'replaced') and status = 'running'))
    returning job_id, attempts, org_id, started_at, status
  )
  insert into qgjob.attempt
    (job_id, number, org_id, batch_id, status, failure_kind, message, tests, log, started_at, ended_at)
  select job_id, attempts, org_id, p_batch_id, 'failed', 'infrastructure',
    coalesce(p_message, format('Worker %s was lost while %s ran this job.', v_worker, v_device.name)),
    '[]', '', case when status = 'running' then started_at else v_now end, v_now
  from lost;

  with ended as (
    update qgjob.job set
      version = version + 1, batch_id = null,
      status = case when cancel_requested_at is not null then 'cancelled' when losses > 3 then 'failed' else 'pending' end,
      failure_kind = case when cancel_requested_at is null and losses > 3 then 'infrastructure' end,
      message = case when cancel_requested_at is null and losses > 3
        then coalesce(p_message, format('The job''s worker was lost %s times.', losses)) else message end,
      started_at = case when cancel_requested_at is not null or losses > 3 then started_at end,
      finished_at = case when cancel_requested_at is not null or losses > 3 then v_now end
    where job_id = any (v_jobs)
    returning job_id, finished_at
  )
  select coalesce(array_agg(job_id), '{}') into v_final from ended where finished_at is not null;

  perform qgjob.settle_runs(v_final);
  perform qgjob.raise_heads(v_jobs);
  perform qgjob.announce(v_jobs);
  perform qgjob.emit('batch.ended', jsonb_build_object('org_id', v_group.org_id, 'batch_id', p_batch_id,
    'device', v_device.name, 'reason', p_reason, 'returned', cardinality(v_jobs) - cardinality(v_final)));
  if cardinality(v_jobs) > cardinality(v_final) then
    perform qgjob.wake_devices(array[v_group.target]);
  end if;
end $$;
