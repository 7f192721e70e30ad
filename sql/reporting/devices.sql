-- Every device, who drives it, and what it is doing.
create or replace view reporting.devices as
  select device.device_id, device.name, device.target, device.labels, worker.name as worker,
    case when worker.worker_id is null or qgjob.worker_status(worker) in ('lost', 'ended') then 'offline'
      when exists (select from qgjob.batch where batch.device_id = device.device_id and ended_at is null) then 'busy'
      else 'idle' end as status,
    device.installed_build, device.epoch
  from qgjob.device left join qgjob.worker using (worker_id);
