-- The leases whose sessions on this account are open for certain. Ask this, then the provider how many sessions run,
-- then admit_session.
create or replace function qgjob.list_sessions(p_account text) returns table (leases bigint[])
language sql stable security definer
set search_path = pg_catalog, pg_temp as $$
  select coalesce(array_agg(batch_id), '{}') from qgjob.batch
  where account = p_account and session_id is not null and ended_at is null
$$;
