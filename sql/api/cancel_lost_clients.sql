-- Cancel one run whose client is lost; how many that were: where it was one there may be more. Called about once a second
-- by the API processes and by nobody else: they are where clients say that they are there. So a client is lost only when
-- it could have said so: where no API process came here for 10 s (none was up, PostgreSQL was not, the clock jumped),
-- every client is given its whole time anew. Costs one look at an index where no run has a client.
create or replace function qgjob.cancel_lost_clients() returns integer language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off as $$
declare
  v_now timestamptz := qgjob.now();
  v_since timestamptz;
  v_run_id bigint;
begin
  if not exists (select from qgjob.run where client_until is not null and finished_at is null)
      or not pg_try_advisory_xact_lock(hashtextextended('qgjob.cancel_lost_clients', 0)) then
    return 0;
  end if;
  insert into qgjob.client_watch (since, checked_at) values (v_now, v_now)
  on conflict (only_row) do update set checked_at = v_now,
    since = case when client_watch.checked_at between v_now - interval '10 s' and v_now then client_watch.since
      else v_now end
  where client_watch.checked_at not between v_now - interval '3 s' and v_now;
  select since into v_since from qgjob.client_watch;

  select run_id into v_run_id from qgjob.run
  where client_until < v_now and finished_at is null and cancelled_at is null
    and v_since + make_interval(secs => client_timeout_s) < v_now
  order by client_until limit 1;
  if v_run_id is null then
    return 0;
  end if;
  -- Jobs before runs; then look again, for the client may have said in between that it is there.
  perform qgjob.lock_unfinished(v_run_id);
  perform from qgjob.run
  where run_id = v_run_id and client_until < v_now and finished_at is null and cancelled_at is null for no key update;
  if not found then
    return 0;
  end if;
  perform qgjob.cancel_run(v_run_id);
  return 1;
end $$;
