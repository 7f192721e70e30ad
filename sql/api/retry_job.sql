-- Submit an ended job again, as a run of its own, with the labels of the run that created it.
drop function if exists qgjob.retry_job(bigint, text, text);
create or replace function qgjob.retry_job(
  p_job_id bigint, p_idempotency_key text default null, p_org_id text default null
) returns table (job_id bigint, run_id bigint, status text, deduplicated boolean) language plpgsql volatile as $$
declare
  v_job qgjob.job_details;
  v_run qgjob.submitted;
begin
  select * into v_job from qgjob.get_job(p_job_id, p_org_id);
  if v_job.finished_at is null then
    raise exception using errcode = 'QJ409', constraint = 'only_an_ended_job_is_retried',
      message = format('Job %s is still %s.', p_job_id, v_job.status);
  end if;
  v_run := qgjob.submit_again(v_job.org_id, v_job.app_version_id, array[p_job_id],
    coalesce((select labels from qgjob.run where run.run_id = v_job.run_id), '{}'),
    jsonb_build_object('retry_of_job', p_job_id), p_idempotency_key);
  return query select * from qgjob.as_job(v_run);
end $$;
