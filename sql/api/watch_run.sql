-- Somebody waits for this run during the next minute: changes of its jobs are announced until then.
create or replace function qgjob.watch_run(p_run_id bigint) returns void language sql volatile security definer
set search_path = pg_catalog, pg_temp as $$
  update qgjob.run set watched_until = qgjob.now() + interval '60 s'
  where run_id = p_run_id and finished_at is null and qgjob.may_see(org_id)
    and (watched_until is null or watched_until < qgjob.now() + interval '30 s')
$$;
