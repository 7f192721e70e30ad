-- The build is on the device, and that was verified. May be repeated; the first time tells how long installing takes,
-- except where it is the session that installs (see record_session).
create or replace function qgjob.record_install(p_lease bigint) returns void language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_mergejoin = off as $$
declare
  v_now timestamptz := qgjob.now();
  v_batch qgjob.batch;
  v_group qgjob.job_group;
begin
  perform from qgjob.device
  where device_id = (select device_id from qgjob.batch where batch_id = p_lease) for no key update;
  select * into v_batch from qgjob.batch where batch_id = p_lease and ended_at is null and qgjob.may_drive(worker_id)
  for no key update;
  if v_batch.batch_id is null then
    perform qgjob.refuse_lease(p_lease);
  elsif v_batch.installed_at is not null then
    return;
  end if;
  select * into v_group from qgjob.job_group where group_id = v_batch.group_id;
  update qgjob.batch set installed_at = v_now where batch_id = p_lease;
  perform nextval('qgjob.count_installs');
  update qgjob.device set installed_build = coalesce(v_batch.build, v_group.build), installed_at = v_now
  where device_id = v_batch.device_id;
  if not qgjob.is_wiped(v_group.target) then
    perform qgjob.learn_install(p_lease);
  end if;
end $$;
