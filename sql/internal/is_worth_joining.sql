-- Is a further device worth an install here? Yes where no device has the build, neither in the group nor idle; else where
-- its share of the work is worth it. What is pending on a device cloud needs another session in any case, for the devices
-- that serve the group are wiped before they could go on. And nothing waits for devices that take nothing more, or not
-- before they have worked for four installs' time on what they hold: see busy_s.
create or replace function qgjob.is_worth_joining(p_group qgjob.job_group) returns boolean language sql stable as $$
  select qgjob.is_wiped(p_group.target)
    or p_group.devices + holders = 0
    or qgjob.remaining_s(p_group.group_id)
      > qgjob.install_s(p_group.org_id, p_group.target) * (p_group.devices + holders)
    or holders = 0 and not exists (
      select from qgjob.batch
      join qgjob.device using (device_id)
      join qgjob.worker on worker.worker_id = batch.worker_id
      where batch.group_id = p_group.group_id and batch.ended_at is null
        and device.quarantined_at is null and not worker.draining
        and 4 * qgjob.install_s(p_group.org_id, p_group.target) >= qgjob.busy_s(batch.batch_id))
  from (select qgjob.idle_holders(p_group) as holders offset 0) as idle  -- offset 0: looked for once
$$;
