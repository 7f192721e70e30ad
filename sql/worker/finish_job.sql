-- Record how an attempt ended, under the lease that ran it. Answers with the job's status now: final, or pending when a
-- budget allows another attempt. May be repeated: `recorded` is then false and nothing changes.
--   completed                  the test passed; flaky if an earlier attempt failed
--   failed, test | timeout     final unless the job still has retries
--   failed, infrastructure     taken up again three times
--   cancelled                  the worker stopped it because that was requested
--
-- p_files: what it left in the object store, [{name, content_type, size, key}]. p_reset_s and p_upload_s: the parts of the
-- attempt that went into resetting the app and into storing files. p_video_offset_s: where it begins in its batch's video.
drop function if exists qgjob.finish_job(bigint, bigint, text, text, text, jsonb, text);
create or replace function qgjob.finish_job(
  p_lease bigint, p_job_id bigint, p_status text, p_failure_kind text default null, p_message text default null,
  p_tests jsonb default '[]', p_log text default '', p_files jsonb default '[]', p_reset_s double precision default null, p_upload_s double precision default null,
  p_video_offset_s double precision default null
) returns table (status text, recorded boolean) language plpgsql volatile as $$
#variable_conflict use_column
declare
  c_log_length constant integer := 65536;
  c_message_length constant integer := 4000;
  v_now timestamptz := qgjob.now();
  v_job qgjob.job;
  v_earlier qgjob.attempt;
  v_next text;
begin
  if p_status is null or p_status not in ('completed', 'failed', 'cancelled')
      or (p_status = 'failed') <> (p_failure_kind is not null) or p_failure_kind not in ('test', 'timeout', 'infrastructure') then
    raise exception using errcode = 'QJ422', constraint = 'a_failure_has_a_kind', column = 'status',
      message = 'A result is completed, cancelled, or failed with a failure_kind of test, timeout or infrastructure.';
  end if;
  select * into v_job from qgjob.job where job_id = p_job_id for no key update;
  if v_job.job_id is null then
    raise exception using errcode = 'QJ404', constraint = 'job_exists', message = format('There is no job %s.', p_job_id);
  end if;
  if p_lease is null or v_job.batch_id is distinct from p_lease then
    select * into v_earlier from qgjob.attempt where job_id = p_job_id and batch_id = p_lease;
    if (v_earlier.status, v_earlier.failure_kind) is not distinct from (p_status, p_failure_kind) then
      return query select v_job.status, false;
      return;
    end if;
    perform qgjob.refuse_lease(p_lease);
  end if;
  if v_job.status = 'queued' then
    raise exception using errcode = 'QJ409', constraint = 'only_a_started_job_ends',
      message = format('Job %s was not started.', p_job_id);
  elsif p_status = 'cancelled' and v_job.cancel_requested_at is null then
    raise exception using errcode = 'QJ409', constraint = 'cancellation_was_requested',
      message = format('Nobody has cancelled job %s.', p_job_id), hint = 'Release the batch to give the job back.';
  end if;

  v_next := case
    when p_status in ('completed', 'cancelled') then p_status
    when v_job.cancel_requested_at is not null then
      case when p_failure_kind = 'infrastructure' then 'cancelled' else 'failed' end
    when p_failure_kind = 'infrastructure' then case when v_job.losses < 3 then 'pending' else 'failed' end
    when v_job.test_failures < v_job.retries then 'pending'
    else 'failed' end;

  insert into qgjob.attempt
    (job_id, number, org_id, batch_id, status, failure_kind, message, tests, log, files, reset_s, upload_s,
    video_offset_s, started_at, ended_at)
  values (p_job_id, v_job.attempts + 1, v_job.org_id, p_lease, p_status, p_failure_kind,
    left(p_message, c_message_length), p_tests, right(p_log, c_log_length), p_files, p_reset_s, p_upload_s,
    p_video_offset_s, v_job.started_at, v_now);

  update qgjob.job set
    status = v_next, version = version + 1, batch_id = null, attempts = attempts + 1,
    test_failures = test_failures + coalesce((p_failure_kind in ('test', 'timeout'))::integer, 0),
    failed_before = failed_before or coalesce(p_failure_kind in ('test', 'timeout'), false),
    losses = losses + coalesce((p_failure_kind = 'infrastructure')::integer, 0),
    failure_kind = case when v_next = 'failed' then p_failure_kind end,
    flaky = v_next = 'completed' and test_failures > 0,
    message = left(p_message, c_message_length),
    started_at = case when v_next <> 'pending' then started_at end,
    finished_at = case when v_next <> 'pending' then v_now end
  where job_id = p_job_id;

  if p_failure_kind is distinct from 'infrastructure' and p_status <> 'cancelled' then
    perform qgjob.learn_test(v_job, p_status = 'failed', extract(epoch from v_now - v_job.started_at) - coalesce(p_upload_s, 0));
  end if;
  if v_next = 'pending' then
    perform qgjob.raise_heads(array[p_job_id]);
    perform qgjob.wake_devices(array(select target from qgjob.job_group where group_id = v_job.group_id));
  else
    perform qgjob.settle_runs(array[p_job_id]);
  end if;
  perform qgjob.announce(array[p_job_id]);
  perform qgjob.emit('job.' || case when v_next = 'pending' then 'retried' else v_next end,
    jsonb_build_object('org_id', v_job.org_id, 'job_id', p_job_id, 'failure_kind', p_failure_kind));
  return query select v_next, true;
end $$;
