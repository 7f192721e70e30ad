-- May the batch open a session on this account, of which it then holds one parallel until it ends? All workers together,
-- and whoever else uses the account, never have more than p_allowed. May be repeated.
--   p_running   sessions that the provider counts, whoever opened them
--   p_known     what list_sessions said before the provider was asked: those that still live are among p_running
-- So the others that were admitted may not have been counted yet, and are added.
create or replace function qgjob.admit_session(
  p_lease bigint, p_account text, p_allowed integer, p_running integer, p_known bigint[]
) returns table (admitted boolean) language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp as $$
declare
  v_batch qgjob.batch;
  v_known integer;
  v_held integer;
begin
  perform pg_advisory_xact_lock(hashtextextended('qgjob.account ' || p_account, 0));
  select * into v_batch from qgjob.batch where batch_id = p_lease and ended_at is null and qgjob.may_drive(worker_id)
  for no key update;
  if v_batch.batch_id is null then
    perform qgjob.refuse_lease(p_lease);
  elsif v_batch.account is null then
    select count(*) filter (where batch_id = any (p_known)), count(*) into v_known, v_held
    from qgjob.batch where account = p_account and ended_at is null;
    if greatest(p_running, v_known) + v_held - v_known >= p_allowed then
      return query select false;
      return;
    end if;
    update qgjob.batch set account = p_account where batch_id = p_lease;
  end if;
  return query select true;
end $$;
