-- All jobs of the device's batch are done. Where the device goes on with the same group the batch ends, and nothing else is
-- touched: the device keeps its place in the group, and whoever calls this calls charge_lanes when it has the next jobs, or
-- leave_groups when there are none. Elsewhere nothing happens, and the answer is no.
create or replace function qgjob.follow_batch(p_device qgjob.device, p_batch qgjob.batch) returns boolean
language plpgsql volatile as $$
begin
  if p_device.quarantined_at is not null or qgjob.is_wiped(p_device.target)
      or not exists (
        select from qgjob.group_to_continue(p_device, p_device.installed_build)
        where group_id = p_batch.group_id and yields is null)
      or not qgjob.has_room(p_batch.org_id, 1) then
    return false;
  end if;
  update qgjob.batch set ended_at = qgjob.now(), end_reason = 'done' where batch_id = p_batch.batch_id;
  perform qgjob.emit('batch.ended', jsonb_build_object('org_id', p_batch.org_id, 'batch_id', p_batch.batch_id,
    'device', p_device.name, 'reason', 'done', 'returned', 0));
  return true;
end $$;
