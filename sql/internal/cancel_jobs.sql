-- Cancel these jobs: at once where they have not started, by their worker where they run. Ended ones stay as they are.
-- Callers hold the jobs' row locks.
create or replace function qgjob.cancel_jobs(p_job_ids bigint[]) returns qgjob.cancellation
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp as $$
declare
  v_now timestamptz := qgjob.now();
  v_ended bigint[];
  v_stopping bigint[];
  v_group bigint;
  v_workers bigint[] := array(
    select distinct batch.worker_id from qgjob.job join qgjob.batch using (batch_id)
    where job.job_id = any (p_job_ids));
begin
  with ended as (
    update qgjob.job set status = 'cancelled', version = version + 1, batch_id = null, finished_at = v_now
    where job_id = any (p_job_ids) and status in ('pending', 'queued')
    returning job_id
  )
  select coalesce(array_agg(job_id), '{}') into v_ended from ended;

  with stopping as (
    update qgjob.job set cancel_requested_at = v_now, version = version + 1
    where job_id = any (p_job_ids) and status = 'running' and cancel_requested_at is null
    returning job_id
  )
  select coalesce(array_agg(job_id), '{}') into v_stopping from stopping;

  perform qgjob.settle_runs(v_ended);
  perform qgjob.announce(v_stopping);
  perform qgjob.call_workers(v_workers);
  perform qgjob.emit('job.cancelled', jsonb_build_object('org_id', org_id, 'job_id', job_id))
  from qgjob.job where job_id = any (v_ended);
  -- A group whose best pending jobs are gone must not be taken for what it was. Others may look better than they are:
  -- their claims lower the head, and need not wait for this transaction.
  for v_group in select distinct group_id from qgjob.job where job_id = any (v_ended) loop
    if not exists (
      select from qgjob.job
      where group_id = v_group and status = 'pending'
        and priority >= (select head_priority from qgjob.job_group where job_group.group_id = v_group)
    ) then
      perform qgjob.lower_head(v_group);
    end if;
  end loop;
  return (cardinality(v_ended), cardinality(v_stopping), 0)::qgjob.cancellation;
end $$;
