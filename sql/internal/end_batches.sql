-- End live batches and give their unfinished jobs back to their groups at once. Those that have ended already stay so.
--   done, drained        the worker gives back what it did not finish: no attempt is counted
--   busy                 a device cloud has no room, or is down: nobody's fault, no attempt is counted either
--   unprepared           the build could not be installed or the session not opened: a loss for every job of the batch
--   unfetched            this worker could not have the build's file: the same, and nothing is said of the device
--   refused              no device can take the build: every pending job of the group fails with this batch's
--   expired, replaced    the worker was lost: a loss for the job that was running
-- A loss is an attempt that ended as failed/infrastructure. Three are taken up again, the fourth ends the job.
--
-- Order of locks, each kind once and by id, so that many batches can be ended at a time: devices, batches, jobs, runs,
-- lanes, groups.
create or replace function qgjob.end_batches(p_batch_ids bigint[], p_reason text, p_message text default null)
returns void language plpgsql volatile
set plan_cache_mode = force_generic_plan
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
  v_now timestamptz := qgjob.now();
  v_batches bigint[];
  v_jobs bigint[];
  v_lost bigint[];
  v_final bigint[];
  v_kind text := case when p_reason = 'refused' then 'test' else 'infrastructure' end;
begin
  perform from qgjob.device
  where device_id in (select device_id from qgjob.batch where batch_id = any (p_batch_ids))
  order by device_id for no key update;
  v_batches := array(
    select batch_id from qgjob.batch where batch_id = any (p_batch_ids) and ended_at is null
    order by batch_id for no key update);
  if v_batches = '{}' then
    return;
  end if;
  update qgjob.batch set ended_at = v_now, end_reason = p_reason where batch_id = any (v_batches);
  update qgjob.device set installed_build = null, installed_at = null
  where device_id in (select device_id from qgjob.batch where batch_id = any (v_batches))
    and (p_reason in ('unprepared', 'refused', 'expired', 'replaced') or qgjob.is_wiped(target)) and installed_build is not null;

  v_jobs := array(
    select job_id from qgjob.job
    -- By their ids: or a plan of small tables reads all jobs in this order.
    where job_id = any (array(select held.job_id from qgjob.job as held where held.batch_id = any (v_batches)))
      and batch_id = any (v_batches)
    order by job_id for no key update);
  if p_reason = 'unprepared' then
    perform qgjob.strike_device(device_id, p_message) from qgjob.batch where batch_id = any (v_batches);
  elsif p_reason = 'refused' then
    -- After those of the batch and waiting for nobody, for their ids are in no order. What another device is just claiming
    -- will be refused there.
    with refused as (
      update qgjob.job set status = 'queued', batch_id = rest.batch_id
      from (
        select job.job_id, batch.batch_id from qgjob.batch join qgjob.job using (group_id)
        where batch.batch_id = any (v_batches) and job.status = 'pending' and not exists (
          select from qgjob.attempt where attempt.job_id = job.job_id and attempt.batch_id = batch.batch_id)
        for no key update of job skip locked
      ) as rest
      where job.job_id = rest.job_id
      returning job.job_id
    )
    select v_jobs || coalesce(array_agg(job_id), '{}') into v_jobs from refused;
  end if;

  with lost as (
    update qgjob.job set attempts = attempts + 1,
      losses = losses + (p_reason <> 'refused')::integer, test_failures = test_failures + (p_reason = 'refused')::integer
    where job_id = any (v_jobs) and cancel_requested_at is null and (p_reason in ('unprepared', 'unfetched', 'refused')
      or (p_reason in ('expired', 'replaced') and status = 'running'))
    returning job_id, attempts, org_id, batch_id, started_at
  ), recorded as (
    insert into qgjob.attempt
      (job_id, number, org_id, batch_id, status, failure_kind, message, tests, log, started_at, ended_at)
    select lost.job_id, lost.attempts, lost.org_id, lost.batch_id, 'failed', v_kind,
      coalesce(p_message, format('Worker %s was lost while %s ran this job.', worker.name, device.name)),
      '[]', '', coalesce(lost.started_at, v_now), v_now
    from lost
    join qgjob.batch using (batch_id)
    join qgjob.device using (device_id)
    join qgjob.worker on worker.worker_id = batch.worker_id
    returning job_id
  )
  select coalesce(array_agg(job_id), '{}') into v_lost from recorded;
  perform qgjob.count_attempts(batch_id, count(*)::integer) from qgjob.attempt
  where job_id = any (v_lost) and batch_id = any (v_batches) group by batch_id;

  perform qgjob.emit('batch.ended', jsonb_build_object('org_id', batch.org_id, 'batch_id', batch_id,
    'device', device.name, 'reason', p_reason, 'returned', (
      select count(*) from qgjob.job
      where job.batch_id = batch.batch_id and cancel_requested_at is null and losses <= 3 and p_reason <> 'refused')))
  from qgjob.batch join qgjob.device using (device_id) where batch_id = any (v_batches);

  with ended as (
    update qgjob.job set
      version = version + 1, batch_id = null,
      status = case when cancel_requested_at is not null then 'cancelled' when ends then 'failed' else 'pending' end,
      failure_kind = case when cancel_requested_at is null and ends then v_kind end,
      message = case when cancel_requested_at is null and ends
        then coalesce(p_message, format('The job''s worker was lost %s times.', losses)) else message end,
      started_at = case when cancel_requested_at is not null or ends then started_at end,
      finished_at = case when cancel_requested_at is not null or ends then v_now end
    from (
      select held.job_id as id, held.losses > 3 or p_reason = 'refused' as ends
      from qgjob.job as held where held.job_id = any (v_jobs)
    ) as held
    where job_id = held.id and job_id = any (v_jobs)  -- or a plan of small tables reads all
    returning job_id, finished_at
  )
  select coalesce(array_agg(job_id), '{}') into v_final from ended where finished_at is not null;

  perform qgjob.settle_runs(v_final);
  if p_reason = 'expired' then
    perform nextval('qgjob.count_expired') from unnest(v_batches);
  end if;
  perform qgjob.leave_groups(v_batches);
  if v_jobs <> '{}' then
    perform qgjob.raise_heads(v_jobs);
    perform qgjob.announce(v_jobs);
    perform qgjob.emit('job.' || case when status = 'pending' then 'retried' else status end,
      jsonb_build_object('org_id', org_id, 'job_id', job_id,
        'failure_kind', case when status <> 'cancelled' then v_kind end))
    from qgjob.job where job_id = any (v_lost || v_final) group by job_id;
    if p_reason = 'refused' then
      perform qgjob.lower_head(group_id) from (
        select distinct group_id from qgjob.batch where batch_id = any (v_batches)) as emptied;
    end if;
  end if;
  -- What is left of the group may be worth an installation now, which on a device cloud it always was; and where a limited
  -- organisation lost a device it may have another, unless whoever was done with its batch goes on by itself.
  perform qgjob.wake_devices(array(
    select distinct job_group.target
    from qgjob.batch join qgjob.job_group using (group_id) join qgjob.org on org.org_id = batch.org_id
    where batch_id = any (v_batches) and (
      head_priority is not null and (v_jobs <> '{}' or not qgjob.is_wiped(job_group.target))
      or p_reason <> 'done' and max_devices is not null)));
end $$;
