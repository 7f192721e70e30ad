-- Cancel a run: jobs that no other unfinished run waits for are cancelled, the others are left to those runs. Results that
-- were written stay. An ended run stays as it is.
create or replace function qgjob.cancel_run(p_run_id bigint, p_org_id text default null)
returns setof qgjob.cancellation language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set lock_timeout = '10s' as $$
declare
  v_now timestamptz := qgjob.now();
  v_jobs bigint[];
  v_shared bigint[];
  v_run qgjob.run;
  v_done qgjob.cancellation;
begin
  perform qgjob.require_run(p_run_id, p_org_id);
  -- Whoever joins one of these jobs must wait for its row, and is seen below.
  v_jobs := qgjob.lock_unfinished(p_run_id);
  v_shared := array(
    select distinct other.job_id from qgjob.run_of_job as other
    where other.job_id = any (v_jobs) and other.run_id <> p_run_id and not other.abandoned
      -- No join, which might begin with all runs.
      and (select run.finished_at from qgjob.run where run.run_id = other.run_id) is null);

  update qgjob.run set cancelled_at = coalesce(cancelled_at, v_now) where run_id = p_run_id and finished_at is null;
  v_done := qgjob.cancel_jobs(array(select id from unnest(v_jobs) as id where id <> all (v_shared)));

  -- Not what the same call, made twice, has abandoned while this one waited.
  with own as (
    update qgjob.job set run_id = null where job_id = any (v_shared) and run_id = p_run_id returning job_id
  )
  insert into qgjob.run_job (run_id, job_id, deduplicated) select p_run_id, job_id, false from own;
  with abandoned as (
    update qgjob.run_job set abandoned = true
    where run_id = p_run_id and job_id = any (v_shared) and not run_job.abandoned
    returning job_id
  )
  select coalesce(array_agg(job_id), '{}') into v_shared from abandoned;
  update qgjob.run set remaining = remaining - cardinality(v_shared),
    finished_at = case when remaining = cardinality(v_shared) then v_now end
  where run_id = p_run_id and cardinality(v_shared) > 0
  returning * into v_run;
  if v_run.finished_at is not null then
    perform qgjob.emit('run.finished', jsonb_build_object('org_id', v_run.org_id, 'run_id', p_run_id));
  end if;
  perform qgjob.announce(v_shared);
  v_done.abandoned := cardinality(v_shared);
  return next v_done;
end $$;
