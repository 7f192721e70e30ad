-- The device is out of its worker's sight: nobody drives it, nobody knows what it holds, and a batch it left behind
-- returns to its group; a job that was running then is a loss. May be repeated, and is nothing to a device that another
-- worker has taken over.
create or replace function qgjob.release_device(p_worker_id bigint, p_device_id bigint, p_message text default null)
returns void language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp as $$
begin
  perform from qgjob.device where device_id = p_device_id and worker_id = p_worker_id for no key update;
  if not found or not qgjob.may_drive(p_worker_id) then
    return;
  end if;
  perform qgjob.end_batches(
    array(select batch_id from qgjob.batch where device_id = p_device_id and ended_at is null), 'replaced', p_message);
  update qgjob.device
  set worker_id = null, installed_build = null, installed_at = null, released_at = qgjob.now()
  where device_id = p_device_id;
end $$;
