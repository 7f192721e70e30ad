-- Every device, who drives it, and what it is doing; in quarantine it gets no batch. seen_at: when who drives it was last
-- heard of.
create or replace view reporting.devices with (security_invoker = true) as
  select device.device_id, device.name, device.target, device.labels, worker.name as worker,
    case when worker.worker_id is null or qgjob.worker_status(worker) in ('lost', 'ended') then 'offline'
      when device.quarantined_at is not null then 'quarantined'
      when qgjob.is_busy(device.device_id) then 'busy'
      else 'idle' end as status,
    -- Only whoever's build it is sees which.
    case when exists (
      select from qgjob.batch where batch.device_id = device.device_id and batch.epoch = device.epoch
    ) then device.installed_build end as installed_build, device.epoch, device.quarantined_at, device.quarantined_by, device.quarantine_reason,
    device.strikes, device.org_ids,
    coalesce(worker.ended_at, worker.seen_at, device.released_at, device.created_at) as seen_at
  from qgjob.device left join qgjob.worker using (worker_id);
