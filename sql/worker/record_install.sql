-- The build is on the device, and that was verified. May be repeated.
create or replace function qgjob.record_install(p_lease bigint) returns void language plpgsql volatile as $$
declare
  v_device bigint;
begin
  select device_id into v_device from qgjob.device
  where device_id = (select device_id from qgjob.batch where batch_id = p_lease) for no key update;
  update qgjob.batch set installed_at = coalesce(installed_at, qgjob.now())
  where batch_id = p_lease and ended_at is null;
  if not found then
    perform qgjob.refuse_lease(p_lease);
  end if;
  update qgjob.device set
    installed_build = qgjob.build_identity(job_group.org_id, job_group.app_version_id),
    installed_at = batch.installed_at
  from qgjob.batch join qgjob.job_group using (group_id)
  where device.device_id = v_device and batch_id = p_lease;
end $$;
