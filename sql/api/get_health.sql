-- Is the service able to do its work? `degraded`: jobs wait for a target that no live worker drives.
create or replace function qgjob.get_health()
returns table (
  status text, database text, schema_version text, oldest_pending_s double precision, live_workers jsonb,
  unserved text[]
) language sql stable as $$
  with waiting as (
    select target, (
      select head_at from qgjob.job_group
      where job_group.target = targets.target and head_priority is not null order by head_at limit 1) as head_at
    from unnest(array['emulator', 'device', 'browserstack']) as targets (target)
  )
  select case when unserved.targets = '{}' then 'ok' else 'degraded' end, current_setting('server_version'),
    (select version_num from qgjob.alembic_version) || ', ' || obj_description('qgjob'::regnamespace),
    (select extract(epoch from qgjob.now() - min(head_at))::double precision from waiting),
    live.workers, unserved.targets
  from (
    select jsonb_object_agg(target, (
      select count(*) from reporting.workers where status = 'live' and target = any (targets))) as workers
    from unnest(array['emulator', 'device', 'browserstack']) as target
  ) as live, lateral (
    select coalesce(array_agg(target), '{}') as targets
    from waiting where head_at is not null and live.workers -> target = '0'
  ) as unserved
$$;
