-- What has to happen without anyone asking. Every API and worker process calls it about once a second; one at a time does
-- the work, and the others are answered at once. Where `submitted` is not 0 there may be more: call again. Where `due` is
-- not 0, schedules wait for due_schedules and fire_schedule.
drop function if exists qgjob.housekeep();
create or replace function qgjob.housekeep() returns table (expired integer, submitted integer, due integer)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_mergejoin = off as $$
declare
  v_now timestamptz := qgjob.now();
  v_expired integer;
begin
  if not pg_try_advisory_xact_lock(hashtextextended('qgjob.housekeep', 0)) then
    return query select 0, 0, 0;
    return;
  end if;
  -- An empty marker: PostgreSQL has just crashed. One in the future: the clock went back.
  insert into qgjob.crash_marker (written_at) values (v_now)
  on conflict (only_row) do update set written_at = v_now where crash_marker.written_at > v_now;
  delete from qgjob.live_log where watched_until not between v_now - interval '1 min' and v_now + interval '1 min';
  perform qgjob.forget_deliveries();
  v_expired := qgjob.expire_batches();
  if v_expired > 0 or qgjob.charge_on_the_way() then
    -- A submission takes locks in an order of its own: not in a transaction that holds others.
    return query select v_expired, 0, 0;
    return;
  end if;
  -- Nothing that was written before the clock went back may outlive it. What others wrote just now is not meant.
  update qgjob.worker set seen_at = v_now where worker_id in (
    select worker_id from qgjob.worker
    where ended_at is null and seen_at > v_now + interval '5 s' for no key update skip locked);
  update qgjob.batch set expires_at = v_now + make_interval(secs => worker.lease_s)
  from qgjob.worker
  where worker.worker_id = batch.worker_id and batch_id in (
    select batch_id from qgjob.batch join qgjob.worker using (worker_id)
    where batch.ended_at is null and batch.expires_at > v_now + make_interval(secs => worker.lease_s + 5)
    for no key update of batch skip locked);
  update qgjob.lane set served_at = v_now where lane_id in (
    select lane_id from qgjob.lane
    where target = any (qgjob.targets()) and served_at > v_now + interval '5 s' for no key update skip locked);
  if found or random() < 1 / 60.0 and qgjob.reconcile_heads() > 0 then  -- about once a minute
    return query select 0, 0, 0;
    return;
  end if;
  return query select 0, qgjob.take_submissions(), (select count(*)::integer from qgjob.due_schedules(1));
end $$;
