-- The devices, by target and name.
drop function if exists qgjob.list_devices(text);
create or replace function qgjob.list_devices(p_target text default null)
returns table (
  device_id bigint, name text, target text, labels jsonb, worker text, status text, installed_build text, epoch bigint,
  org_ids text[]
) language sql stable as $$
  select device_id, name, target, labels, worker, status, installed_build, epoch, org_ids
  from reporting.devices where p_target is null or target = p_target
  order by target, name
$$;
