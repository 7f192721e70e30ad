-- Count the pending jobs of each target for monitoring, unless that was done lately. Counting reads the backlog, so it
-- happens at most every five seconds, by one caller at a time, and rests fifty times as long as it took: about 2 % of
-- one core however large the backlog is, and nothing while nobody asks.
create or replace function qgjob.sample_pending() returns void language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off as $$
declare
  v_now timestamptz := qgjob.now();
  v_began timestamptz := clock_timestamp();
  v_counts jsonb;
begin
  if (select bool_and(counted_at between v_now - greatest(interval '5 s', make_interval(secs => 50 * took_s)) and v_now)
      from qgjob.pending_sample) or not pg_try_advisory_xact_lock(hashtextextended('qgjob.sample_pending', 0)) then
    return;
  end if;
  v_counts := (
    select jsonb_object_agg(target, jobs)
    from (
      select job_group.target, sum(groups.jobs) as jobs
      from (select group_id, count(*) as jobs from qgjob.job where status = 'pending' group by group_id) as groups
      join qgjob.job_group using (group_id)
      group by job_group.target
    ) as counted);
  insert into qgjob.pending_sample (target, pending, counted_at, took_s)
  select target, coalesce((v_counts ->> target)::bigint, 0), v_now, extract(epoch from clock_timestamp() - v_began)
  from unnest(qgjob.targets()) as target
  on conflict (target) do update
  set pending = excluded.pending, counted_at = excluded.counted_at, took_s = excluded.took_s;
end $$;
