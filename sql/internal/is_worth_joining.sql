-- Is a further device's share of the group's work worth an install? What is pending on a device cloud needs another session
-- in any case, for the devices that serve the group are wiped before they could go on. And nothing waits for devices that
-- take nothing more, or not before they have worked for four installs' time on what they hold: see busy_s.
create or replace function qgjob.is_worth_joining(p_group qgjob.job_group) returns boolean language sql stable as $$
  select qgjob.is_wiped(p_group.target)
    or qgjob.remaining_s(p_group.group_id) / p_group.devices > qgjob.install_s(p_group.org_id, p_group.target)
    or not exists (
      select from qgjob.batch
      join qgjob.device using (device_id)
      join qgjob.worker on worker.worker_id = batch.worker_id
      where batch.group_id = p_group.group_id and batch.ended_at is null
        and device.quarantined_at is null and not worker.draining
        and 4 * qgjob.install_s(p_group.org_id, p_group.target) >= qgjob.busy_s(batch.batch_id))
$$;
