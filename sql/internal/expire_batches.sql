-- Take back the batches of workers that are no longer heard of, and forget the workers that hold none.
create or replace function qgjob.expire_batches() returns integer language plpgsql volatile as $$
declare
  v_expired bigint[] := array(
    select batch_id from qgjob.batch where ended_at is null and expires_at < qgjob.now() and qgjob.is_expired(batch));
begin
  -- Devices before batches, as everywhere; then look again at the same ones, for a heartbeat may have come between.
  perform from qgjob.device
  where device_id in (select device_id from qgjob.batch where batch_id = any (v_expired))
  order by device_id for no key update;
  v_expired := array(
    select batch_id from qgjob.batch
    where batch_id = any (v_expired) and ended_at is null and qgjob.is_expired(batch)
    order by batch_id for no key update);
  perform qgjob.end_batches(v_expired, 'expired');

  update qgjob.worker set ended_at = qgjob.now()
  where worker_id in (
    select worker_id from qgjob.worker
    where ended_at is null and seen_at < qgjob.now() - interval '1 hour'
      and not exists (select from qgjob.batch where batch.worker_id = worker.worker_id and ended_at is null)
    for no key update skip locked);
  return cardinality(v_expired);
end $$;
