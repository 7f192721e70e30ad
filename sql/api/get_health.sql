-- Is the service able to do its work? `degraded`: there are unserved_lanes. p_details false: without their labels, for whom
-- nobody knows.
drop function if exists qgjob.get_health();
create or replace function qgjob.get_health(p_details boolean default true)
returns table (
  status text, database text, schema_version text, oldest_pending_s double precision, live_workers jsonb,
  unserved text[]
) language sql stable security definer
set search_path = pg_catalog, pg_temp as $$
  with waiting as (
    select target, (
      select head_at from qgjob.job_group
      where job_group.target = targets.target and head_priority is not null order by head_at limit 1) as head_at
    from unnest(qgjob.targets()) as targets (target)
  )
  select case when unserved.targets = '{}' then 'ok' else 'degraded' end, current_setting('server_version'),
    (select version_num from qgjob.alembic_version) || ', ' || obj_description('qgjob'::regnamespace),
    (select extract(epoch from qgjob.now() - min(head_at))::double precision from waiting),
    live.workers, unserved.targets
  from (
    select jsonb_object_agg(target, (
      select count(*) from reporting.workers where status = 'live' and target = any (targets))) as workers
    from unnest(qgjob.targets()) as target
  ) as live, (
    select coalesce(array_agg(distinct target || case when selector = '{}' or not p_details then '' else ' ' || selector::text end), '{}')
      as targets
    from qgjob.unserved_lanes()
  ) as unserved
$$;
