-- The device is done with its batch and gives back what it did not finish. May be repeated.
create or replace function qgjob.release_batch(p_lease bigint, p_reason text default 'done', p_message text default null)
returns void language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp as $$
begin
  if p_reason is null or p_reason not in ('done', 'drained', 'busy', 'unprepared', 'unfetched', 'refused') then
    raise exception using errcode = 'QJ422', constraint = 'end_reason_is_known', column = 'reason',
      message = 'A batch is released as done, drained, busy, unprepared, unfetched or refused.';
  end if;
  if not exists (select from qgjob.batch where batch_id = p_lease and qgjob.may_drive(worker_id)) then
    perform qgjob.refuse_lease(p_lease);
  end if;
  perform qgjob.end_batches(array[p_lease], p_reason, p_message);
end $$;
