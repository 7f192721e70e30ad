-- Every device, who drives it, and what it is doing; in quarantine it gets no batch.
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

comment on view reporting.devices is
  'Every device, who drives it, and what it is doing; in quarantine it gets no batch.';
comment on column reporting.devices.device_id is 'The number of the device.';
comment on column reporting.devices.name is 'Its name, unique among all.';
comment on column reporting.devices.target is 'The kind of device: emulator, device or browserstack.';
comment on column reporting.devices.labels is 'What it has, for selectors to name.';
comment on column reporting.devices.worker is 'The worker that drives it.';
comment on column reporting.devices.status is
  'idle, busy (holds a batch), quarantined, or offline (no live worker drives it).';
comment on column reporting.devices.installed_build is
  'The build that it holds: organisation and SHA-256, or the version where no file is known. Only its '
  'organisation sees it.';
comment on column reporting.devices.epoch is 'Grows with every batch that it is given.';
comment on column reporting.devices.quarantined_at is 'Since when it is in quarantine.';
comment on column reporting.devices.quarantined_by is
  'Who put it there: person, or health (losses in a row, or its probe complained).';
comment on column reporting.devices.quarantine_reason is 'Why.';
comment on column reporting.devices.strikes is 'Losses in a row; three put it into quarantine.';
comment on column reporting.devices.org_ids is 'The organisations that it serves; null is everybody.';
comment on column reporting.devices.seen_at is 'When who drives it was heard of last.';
