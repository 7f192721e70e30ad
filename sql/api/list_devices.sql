-- The devices, or one of them, offline ones last, by target and name; without p_all not those that nobody has driven for a
-- day.
drop function if exists qgjob.list_devices(text);
drop function if exists qgjob.list_devices(text, bigint);
create or replace function qgjob.list_devices(
  p_target text default null, p_device_id bigint default null, p_all boolean default false
) returns setof qgjob.device_details language sql stable as $$
  select device_id, name, target, labels, worker, status, installed_build, epoch, quarantined_at, quarantined_by,
    quarantine_reason, strikes, org_ids
  from reporting.devices
  where (p_target is null or target = p_target)
    and case when p_device_id is not null then device_id = p_device_id
      else p_all or seen_at > qgjob.now() - interval '1 day' end
  order by status = 'offline', target, name
$$;
