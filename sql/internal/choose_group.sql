-- The one place that decides which group a device serves next. In this order:
--   1. a group whose build the device holds already, unless it has held it for 20 installs' time while a group waits that
--      no device serves;
--   2. the organisation with the fewest devices at work, then the one served longest ago;
--   3. inside it the highest priority, then groups that no device serves, then the oldest.
-- A further device joins a group only where its share of the remaining work is worth an install; otherwise it stays as it
-- is and keeps its build warm.
create or replace function qgjob.choose_group(p_device qgjob.device, p_skip bigint[]) returns bigint
language sql volatile as $$
  with candidate as (
    select job_group.*,
      qgjob.build_identity(org_id, app_version_id) is not distinct from p_device.installed_build as installed,
      (select count(*) from qgjob.batch where batch.group_id = job_group.group_id and ended_at is null) as devices,
      (select count(*) from (
        select from qgjob.job where job.group_id = job_group.group_id and status = 'pending' limit 1000) as bounded
      ) as jobs
    from qgjob.job_group
    where target = p_device.target and head_priority is not null
      and p_device.labels @> selector and group_id <> all (p_skip)
  )
  select group_id
  from candidate
  where installed or devices = 0 or jobs * qgjob.assumed_test_s() / devices > qgjob.assumed_install_s()
  order by
    installed and not (
      p_device.installed_at < qgjob.now() - 20 * make_interval(secs => qgjob.assumed_install_s())
      and exists (select from candidate as other where not other.installed and other.devices = 0)) desc,
    (select count(*) from qgjob.batch where batch.org_id = candidate.org_id and ended_at is null),
    (select max(batch_id) from qgjob.batch where batch.org_id = candidate.org_id) nulls first,
    head_priority desc, devices > 0, head_at, group_id
  limit 1
$$;
