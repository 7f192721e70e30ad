-- Take back the batches of workers that are no longer heard of, and forget the workers that hold none.
create or replace function qgjob.expire_batches() returns integer language plpgsql volatile as $$
declare
  v_batch qgjob.batch;
  v_expired integer := 0;
begin
  for v_batch in
    select * from qgjob.batch where ended_at is null and expires_at < qgjob.now() order by batch_id
  loop
    -- Lock in the order device, batch; then look again, for a heartbeat may have come between.
    perform from qgjob.device where device_id = v_batch.device_id for no key update;
    select * into v_batch from qgjob.batch where batch_id = v_batch.batch_id for no key update;
    if qgjob.is_expired(v_batch) then
      perform qgjob.end_batch(v_batch.batch_id, 'expired');
      v_expired := v_expired + 1;
    end if;
  end loop;

  update qgjob.worker set ended_at = qgjob.now()
  where ended_at is null and seen_at < qgjob.now() - interval '1 hour'
    and not exists (select from qgjob.batch where batch.worker_id = worker.worker_id and ended_at is null);
  return v_expired;
end $$;
