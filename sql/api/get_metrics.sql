-- What /metrics shows of the database. Reads heads, counters and the small tables, never the backlog: `pending` is what
-- sample_pending counted. The counts grow for ever; buckets[n] are the claims within the n-th of bounds, the last one is
-- of all that waited longer.
create or replace function qgjob.get_metrics()
returns table (
  targets jsonb, claims bigint, expired bigint, installs bigint, attempts bigint, avoided bigint,
  bounds double precision[], buckets bigint[]
) language sql volatile security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
  with unserved as materialized (select target, head_at from qgjob.unserved_lanes())
  select (
      select jsonb_object_agg(target, jsonb_build_object(
        'pending', coalesce(sample.pending, 0),
        'oldest_s', coalesce(greatest(0, extract(epoch from qgjob.now() - (
          select head_at from qgjob.job_group
          where job_group.target = known.target and head_priority is not null order by head_at limit 1))), 0),
        'unserved_s', coalesce(greatest(0, extract(epoch from qgjob.now() - (
          select min(head_at) from unserved where unserved.target = known.target))), 0),
        'workers', (
          select count(*) from reporting.workers where status = 'live' and known.target = any (targets)),
        'idle', devices.idle, 'busy', devices.busy, 'quarantined', devices.quarantined, 'offline', devices.offline))
      from unnest(qgjob.targets()) as known (target)
      left join qgjob.pending_sample as sample using (target)
      cross join lateral (
        select count(*) filter (where status = 'idle') as idle, count(*) filter (where status = 'busy') as busy,
          count(*) filter (where status = 'quarantined') as quarantined,
          count(*) filter (where status = 'offline') as offline
        from reporting.devices where devices.target = known.target
      ) as devices
    ),
    qgjob.counted('qgjob.count_claims'), qgjob.counted('qgjob.count_expired'), qgjob.counted('qgjob.count_installs'),
    qgjob.counted('qgjob.count_attempts'), qgjob.counted('qgjob.count_avoided'), qgjob.pick_up_bounds(), array(
      select qgjob.counted(('qgjob.count_pick_up_' || bucket)::regclass)
      from generate_series(0, cardinality(qgjob.pick_up_bounds())) as bucket order by bucket)
$$;
