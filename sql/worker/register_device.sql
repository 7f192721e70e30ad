-- From now on this worker drives the device of that name. A device whose worker is still heard of is refused; from one
-- that is not, or has ended, it is taken over, and a batch it left behind returns to its group.
create or replace function qgjob.register_device(
  p_worker_id bigint, p_name text, p_target text, p_labels jsonb default '{}'
) returns table (device_id bigint) language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  v_worker qgjob.worker := qgjob.require_worker(p_worker_id);
  v_device qgjob.device;
  v_new boolean;
begin
  perform qgjob.check_labels(p_labels, 'device');
  if p_name is null or length(p_name) not between 1 and 128 or p_name ~ '[[:cntrl:]]' then
    raise exception using errcode = 'QJ422', constraint = 'device_name_is_short', column = 'name',
      message = 'The name of a device has 1 to 128 characters, all of which can be printed.';
  elsif p_target is null or p_target <> all (qgjob.targets()) then
    raise exception using errcode = 'QJ422', constraint = 'target_is_known', column = 'target',
      message = 'A device is an emulator, device or browserstack.';
  end if;
  insert into qgjob.device (name, target, labels, org_ids, created_at)
  values (p_name, p_target, p_labels, v_worker.org_ids, qgjob.now()) on conflict on constraint device_name_is_unique do nothing;
  v_new := found;
  select * into v_device from qgjob.device where name = p_name for no key update;

  if not v_new and not qgjob.may_see(null) and v_device.org_ids is distinct from v_worker.org_ids then
    -- Who holds a token of one organisation takes no device over that has served others.
    raise exception using errcode = 'QJ409', constraint = 'device_name_is_free', column = 'name',
      message = format('The name of device %s is taken: start the worker with another --name.', p_name),
      hint = 'Names of devices are unique among all organisations.';
  elsif v_device.worker_id <> p_worker_id and exists (
    select from qgjob.worker
    where worker_id = v_device.worker_id and qgjob.worker_status(worker) in ('live', 'draining')
  ) then
    raise exception using errcode = 'QJ409', constraint = 'device_has_one_worker', column = 'name',
      message = format('Device %s is driven by another worker that is alive: start this one with another --name.', p_name),
      hint = 'Or stop that worker, or wait until its lease has run out.';
  end if;
  if v_device.worker_id is distinct from p_worker_id then
    perform qgjob.end_batches(
      array(select batch_id from qgjob.batch where batch.device_id = v_device.device_id and ended_at is null), 'replaced');
    -- It was out of sight: nobody knows what it holds.
    update qgjob.device set installed_build = null, installed_at = null where device.device_id = v_device.device_id;
  end if;

  return query
  update qgjob.device set worker_id = p_worker_id, target = p_target, labels = p_labels, org_ids = v_worker.org_ids
  where device.device_id = v_device.device_id
  returning device.device_id;
end $$;
