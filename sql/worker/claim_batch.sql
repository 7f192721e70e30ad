-- The device asks for work and gets the next batch: jobs of one group, under a new lease. No row: there is nothing for it
-- now, and the next submission it could serve will send a hint.
--
-- A claim whose answer was lost may be repeated: a live batch of which nothing was started is handed out again.
-- Order of locks: device, advisory lock on the group, jobs (skipping locked ones), the group's row (skipping too).
create or replace function qgjob.claim_batch(p_worker_id bigint, p_device_id bigint, p_max_jobs integer default 20)
returns table (
  lease bigint, epoch bigint, org_id text, app_version_id text, target text, selector jsonb, reset text, build text,
  install boolean, device text, lease_s integer, jobs jsonb
) language plpgsql volatile as $$
#variable_conflict use_column
declare
  v_now timestamptz := qgjob.now();
  v_worker qgjob.worker := qgjob.require_worker(p_worker_id);
  v_device qgjob.device;
  v_live qgjob.batch;
  v_group bigint;
  v_skip bigint[] := '{}';
  v_jobs bigint[];
begin
  select * into v_device from qgjob.device where device_id = p_device_id for no key update;
  if v_device.worker_id is distinct from p_worker_id then
    raise exception using errcode = 'QJ409', constraint = 'device_has_one_worker',
      message = format('Device %s is not driven by worker %s.', coalesce(v_device.name, p_device_id::text), p_worker_id),
      hint = 'Register the device again.';
  end if;
  select * into v_live from qgjob.batch where device_id = p_device_id and ended_at is null;
  if v_live.batch_id is not null then
    if v_live.installed_at is null and not exists (
      select from qgjob.job where batch_id = v_live.batch_id and status = 'running'
    ) and not exists (select from qgjob.attempt where batch_id = v_live.batch_id) then
      update qgjob.batch set expires_at = v_now + make_interval(secs => v_worker.lease_s)
      where batch_id = v_live.batch_id;
      return query select * from qgjob.batch_contents(v_live.batch_id);
      return;
    elsif not qgjob.is_expired(v_live) then
      raise exception using errcode = 'QJ409', constraint = 'device_holds_one_live_batch',
        message = format('Device %s has not released its batch %s.', v_device.name, v_live.batch_id);
    end if;
    perform qgjob.end_batches(array[v_live.batch_id], 'expired');
    select * into v_device from qgjob.device where device_id = p_device_id;
  end if;
  if v_worker.draining then
    return;
  end if;

  loop
    v_group := qgjob.choose_group(v_device, v_skip);
    exit when v_group is null;
    -- Waiting is safe only while this transaction holds no other group's lock.
    if cardinality(v_skip) = 0 then
      perform pg_advisory_xact_lock(hashtextextended('qgjob.group', v_group));
      v_group := qgjob.choose_group(v_device, v_skip);
      exit when v_group is null;
    end if;
    if not pg_try_advisory_xact_lock(hashtextextended('qgjob.group', v_group)) then
      v_skip := v_skip || v_group;
      continue;
    end if;
    v_jobs := array(
      select job_id from qgjob.job where group_id = v_group and status = 'pending'
      order by priority desc, job_id limit qgjob.batch_size(v_group, v_device.target, p_max_jobs)
      for no key update skip locked
    );
    exit when cardinality(v_jobs) > 0;
    perform qgjob.lower_head(v_group);
    v_skip := v_skip || v_group;
  end loop;

  if v_group is null then
    update qgjob.device set waiting = true where device_id = p_device_id and not waiting;
    return;
  end if;

  insert into qgjob.batch as b (org_id, group_id, device_id, worker_id, epoch, install, claimed_at, expires_at)
  select job_group.org_id, v_group, p_device_id, p_worker_id, v_device.epoch + 1,
    qgjob.build_identity(job_group.org_id, job_group.app_version_id) is distinct from v_device.installed_build,
    v_now, v_now + make_interval(secs => v_worker.lease_s)
  from qgjob.job_group where group_id = v_group
  returning b.* into v_live;

  -- Until the install is reported as done, nobody knows what the device holds.
  update qgjob.device set epoch = v_live.epoch, waiting = false,
    installed_build = case when not v_live.install then installed_build end,
    installed_at = case when not v_live.install then installed_at end
  where device_id = p_device_id;
  update qgjob.job set status = 'queued', batch_id = v_live.batch_id, version = version + 1
  where job_id = any (v_jobs);
  perform qgjob.lower_head(v_group);
  perform qgjob.announce(v_jobs);
  perform qgjob.emit('batch.claimed', jsonb_build_object('org_id', v_live.org_id, 'batch_id', v_live.batch_id,
    'device', v_device.name, 'jobs', cardinality(v_jobs), 'install', v_live.install));
  return query select * from qgjob.batch_contents(v_live.batch_id);
end $$;
