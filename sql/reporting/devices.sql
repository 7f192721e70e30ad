-- Every device, who drives it, and what it is doing; in quarantine it gets no batch.
create or replace view reporting.devices as
  select device.device_id, device.name, device.target, device.labels, worker.name as worker,
    case when worker.worker_id is null or qgjob.worker_status(worker) in ('lost', 'ended') then 'offline'
      when device.quarantined_at is not null then 'quarantined'
      when exists (select from qgjob.batch where batch.device_id = device.device_id and ended_at is null) then 'busy'
      else 'idle' end as status,
    device.installed_build, device.epoch, device.quarantined_at, device.quarantined_by, device.quarantine_reason,
    device.strikes
  from qgjob.device left join qgjob.worker using (worker_id);
