-- These jobs have just ended: take them off their runs' remaining counts, tell those who wait for these runs (as announce
-- does) and end the runs that wait for nothing more. Callers hold the jobs' row locks; runs are locked after jobs, in order.
create or replace function qgjob.settle_runs(p_job_ids bigint[]) returns void language plpgsql volatile
set enable_hashjoin = off set enable_mergejoin = off as $$
declare
  v_now timestamptz := qgjob.now();
  v_runs bigint[];  -- each as often as it has waited for one of them
  v_run record;
begin
  if p_job_ids = '{}' then
    return;
  end if;
  v_runs := array(select run_id from qgjob.run_of_job where job_id = any (p_job_ids) and not abandoned);
  perform from qgjob.run where run_id = any (v_runs) order by run_id for no key update;

  for v_run in
    update qgjob.run
    set remaining = remaining - touched.jobs, finished_at = case when remaining = touched.jobs then v_now end
    from (select run_id, count(*)::integer as jobs from unnest(v_runs) as run_id group by run_id) as touched
    where run.run_id = touched.run_id
    returning run.run_id, run.org_id, run.finished_at, run.watched_until
  loop
    if v_run.watched_until > v_now then
      perform pg_notify('qgjob_run', v_run.run_id::text);
    end if;
    if v_run.finished_at is not null then
      perform qgjob.emit('run.finished', jsonb_build_object('org_id', v_run.org_id, 'run_id', v_run.run_id));
    end if;
  end loop;
end $$;
