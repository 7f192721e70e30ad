-- The build is on the device, and that was verified. May be repeated; the first time tells how long installing takes.
create or replace function qgjob.record_install(p_lease bigint) returns void language plpgsql volatile as $$
declare
  v_now timestamptz := qgjob.now();
  v_batch qgjob.batch;
  v_group qgjob.job_group;
begin
  perform from qgjob.device
  where device_id = (select device_id from qgjob.batch where batch_id = p_lease) for no key update;
  select * into v_batch from qgjob.batch where batch_id = p_lease and ended_at is null for no key update;
  if v_batch.batch_id is null then
    perform qgjob.refuse_lease(p_lease);
  elsif v_batch.installed_at is not null then
    return;
  end if;
  select * into v_group from qgjob.job_group where group_id = v_batch.group_id;
  update qgjob.batch set installed_at = v_now where batch_id = p_lease;
  update qgjob.device set installed_build = coalesce(v_batch.build, v_group.build), installed_at = v_now where device_id = v_batch.device_id;

  insert into qgjob.install_timing as known (org_id, target, mean_s)
  values (v_group.org_id, v_group.target, extract(epoch from v_now - v_batch.claimed_at))
  on conflict (org_id, target) do update set mean_s = known.mean_s + 0.3 * (excluded.mean_s - known.mean_s);
end $$;
