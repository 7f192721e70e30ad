-- The worker leaves: its batches are given back and its devices are free for another. May be repeated.
create or replace function qgjob.end_worker(p_worker_id bigint) returns void language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp as $$
begin
  if not qgjob.may_drive(p_worker_id) then
    return;
  end if;
  -- The devices first: from then on the worker claims nothing more.
  perform from qgjob.device where worker_id = p_worker_id order by device_id for no key update;
  update qgjob.device set worker_id = null, released_at = qgjob.now() where worker_id = p_worker_id;
  perform qgjob.end_batches(
    array(select batch_id from qgjob.batch where worker_id = p_worker_id and ended_at is null), 'drained');
  update qgjob.worker set ended_at = coalesce(ended_at, qgjob.now()) where worker_id = p_worker_id;
end $$;
