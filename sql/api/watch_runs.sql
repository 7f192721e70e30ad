-- Somebody waits for these runs during the next minute: changes of their jobs are announced until then. Answers with those
-- of which that is certain. A run whose row is locked is left out, for whoever changes it may wait for other runs: ask
-- again, and read only then.
create or replace function qgjob.watch_runs(p_run_ids bigint[]) returns table (id bigint) language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off as $$
declare
  v_now timestamptz := qgjob.now();
begin
  update qgjob.run set watched_until = v_now + interval '60 s'
  where run_id in (
    select run_id from qgjob.run
    where run_id = any (p_run_ids) and finished_at is null and qgjob.may_see(org_id)
      and (watched_until is null or watched_until not between v_now + interval '30 s' and v_now + interval '60 s')
    order by run_id for no key update skip locked);
  return query
  select run_id from qgjob.run
  where run_id = any (p_run_ids) and qgjob.may_see(org_id)
    and (finished_at is not null or watched_until > v_now + interval '25 s');
end $$;
