-- The device asks for work and gets the next batch: jobs of one group, under a new lease. No row: there is nothing for it
-- now, and the next submission it could serve will send a hint. Ask once more before waiting for it: one may have come
-- just before that was noted.
--
-- It also ends the device's last batch, if all its jobs are done, so that nobody needs to release such a batch before; see
-- follow_batch. A claim whose answer was lost may be repeated: a live batch of which nothing was started is handed out again.
-- p_max_s: the device is good for so many seconds at a time; no more work than that, by prediction, and one job at least.
-- Order of locks: devices, batches, jobs (skipping locked ones), lanes (see choose_group), groups. Where it has ended a
-- batch it holds lanes and a group, and waits for nothing more: what somebody else holds then is left to the next claim.
drop function if exists qgjob.claim_batch(bigint, bigint, integer);
create or replace function qgjob.claim_batch(
  p_worker_id bigint, p_device_id bigint, p_max_jobs integer default 20, p_max_s double precision default null
) returns table (
  lease bigint, epoch bigint, org_id text, app_version_id text, target text, selector jsonb, reset text, build text,
  install boolean, device text, lease_s integer, jobs jsonb, artifact jsonb
) language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_mergejoin = off
set lock_timeout = '10s' as $$
#variable_conflict use_column
declare
  v_now timestamptz;
  v_worker qgjob.worker := qgjob.require_worker(p_worker_id);
  v_device qgjob.device;
  v_live qgjob.batch;
  v_group qgjob.job_group;
  v_jobs bigint[] := '{}';
  v_in_vain bigint[] := '{}';
  v_charged real := 0;
  v_chosen text;
  v_last bigint;
  v_follows boolean := false;  -- the device goes on with the group of its last batch
begin
  p_max_jobs := greatest(1, coalesce(p_max_jobs, 20));
  p_max_s := nullif(p_max_s, 'NaN');
  select * into v_device from qgjob.device where device_id = p_device_id for no key update;
  if v_device.worker_id is distinct from p_worker_id then
    raise exception using errcode = 'QJ409', constraint = 'device_has_one_worker',
      message = format('Device %s is not driven by worker %s.', coalesce(v_device.name, p_device_id::text), p_worker_id),
      hint = 'Register the device again.';
  end if;
  select * into v_live from qgjob.batch where device_id = p_device_id and ended_at is null;
  if v_live.batch_id is not null then
    if not exists (select from qgjob.job where batch_id = v_live.batch_id) then
      v_last := v_live.batch_id;
      v_follows := case when v_worker.draining then false else qgjob.follow_batch(v_device, v_live) end;
      if not v_follows then
        perform qgjob.end_batches(array[v_last], 'done');
      end if;
    elsif v_live.installed_at is null and not exists (
      select from qgjob.job where batch_id = v_live.batch_id and status = 'running'
    ) and not exists (select from qgjob.attempt where batch_id = v_live.batch_id) then
      update qgjob.batch set expires_at = qgjob.now() + make_interval(secs => v_worker.lease_s)
      where batch_id = v_live.batch_id;
      return query select * from qgjob.batch_contents(v_live.batch_id);
      return;
    elsif qgjob.is_expired(v_live) then
      perform qgjob.end_batches(array[v_live.batch_id], 'expired');
    else
      raise exception using errcode = 'QJ409', constraint = 'device_holds_one_live_batch',
        message = format('Device %s has not released its batch %s.', v_device.name, v_live.batch_id);
    end if;
    select * into v_device from qgjob.device where device_id = p_device_id;
  end if;
  if v_worker.draining or v_device.quarantined_at is not null then
    return;
  end if;

  for v_look in 1..5 loop  -- somebody may be taking, or cancelling, all that waits in a group
    v_group.group_id := case when v_follows then v_live.group_id
      else qgjob.choose_group(v_device, v_live.batch_id is null and v_look = 1, v_in_vain) end;
    exit when v_group.group_id is null;
    if v_live.batch_id is not null and not v_follows then  -- see the order of locks
      perform from qgjob.job_group where group_id = v_group.group_id for no key update skip locked;
      exit when not found;
    end if;
    select * into v_group from qgjob.job_group where group_id = v_group.group_id;
    v_jobs := array(
      select job_id from qgjob.job where group_id = v_group.group_id and status = 'pending'
      order by priority desc, failed_before desc, predicted_s desc, job_id
      limit qgjob.batch_size(v_group, p_max_jobs, p_max_s)
      for no key update skip locked);
    exit when cardinality(v_jobs) > 0;
    if v_follows then  -- nothing: others have taken all of it
      perform qgjob.leave_groups(array[v_last]);
      v_follows := false;
    end if;
    perform qgjob.lower_head(v_group.group_id);
    v_in_vain := v_in_vain || v_group.group_id;
  end loop;
  v_chosen := case when v_group.build = v_device.installed_build then 'continued'
    when v_group.devices = 0 then 'first' else 'joined' end;
  -- Not where ending a batch has locked lanes: this may charge another. The device asks again.
  if cardinality(v_jobs) = 0 and v_live.batch_id is null then
    select p_group_id, p_job_ids into v_group.group_id, v_jobs from qgjob.take_back(v_device, p_max_jobs, p_max_s);
    select * into v_group from qgjob.job_group where group_id = v_group.group_id;
    v_chosen := 'taken back';
  end if;
  if cardinality(v_jobs) = 0 then
    -- Whoever is just forgetting that it waits will tell it, and is not waited for.
    insert into qgjob.waiting_device (device_id, target)
    select p_device_id, v_device.target
    where not exists (select from qgjob.waiting_device where device_id = p_device_id) on conflict do nothing;
    return;
  end if;

  if v_group.build is distinct from v_device.installed_build then
    v_charged := qgjob.charge_ahead(v_device, v_group, v_jobs);
  end if;
  v_now := qgjob.now();  -- not before: where this had to wait, the lease would be half over
  insert into qgjob.batch as b
    (org_id, group_id, build, device_id, worker_id, epoch, install, chosen, charged_s, claimed_at, expires_at)
  values (v_group.org_id, v_group.group_id, v_group.build, p_device_id, p_worker_id, v_device.epoch + 1,
    v_group.build is distinct from v_device.installed_build, v_chosen, v_charged,
    v_now, v_now + make_interval(secs => v_worker.lease_s))
  returning b.* into v_live;

  -- Until the install is reported as done, nobody knows what the device holds.
  update qgjob.device set epoch = v_live.epoch,
    installed_build = case when not v_live.install then installed_build end,
    installed_at = case when not v_live.install then installed_at end
  where device_id = p_device_id;
  update qgjob.job set status = 'queued', batch_id = v_live.batch_id, version = version + 1
  where job_id = any (v_jobs);
  perform nextval('qgjob.count_claims');
  if v_chosen <> 'taken back' then
    perform qgjob.count_pick_up(extract(epoch from v_now - v_group.head_at));
  end if;
  perform qgjob.announce(v_jobs);
  perform qgjob.emit('batch.claimed', jsonb_build_object('org_id', v_live.org_id, 'batch_id', v_live.batch_id,
    'device', v_device.name, 'jobs', cardinality(v_jobs), 'install', v_live.install));
  return query select * from qgjob.batch_contents(v_live.batch_id);
  -- Last, for whoever comes to this group waits from here on.
  if v_follows then
    perform qgjob.charge_lanes(array[v_last]);
  else
    update qgjob.job_group set devices = devices + 1 where group_id = v_group.group_id;
  end if;
  perform qgjob.lower_head(v_group.group_id);
end $$;
