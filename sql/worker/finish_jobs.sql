-- Record how attempts ended, under the lease that ran them. Answers with each job's status now: final, or pending when a
-- budget allows another attempt. May be repeated: `recorded` is then false and nothing changes. One wrong result, and
-- nothing is recorded. A result is {job_id, status, failure_kind, message, tests, log, files, reset_s, upload_s,
-- video_offset_s, permanent}, of which the first two are needed:
--   completed                  the test passed; flaky if an earlier attempt failed
--   failed, test | timeout     final unless the job still has retries, and always where it is permanent: a spec that does
--                              not load would fail alike the next time
--   failed, infrastructure     taken up again three times
--   cancelled                  the worker stopped it because that was requested
-- A job whose start nobody reported ran, for all that is known, since its batch was claimed; nothing is learned from it.
create or replace function qgjob.finish_jobs(p_lease bigint, p_results jsonb)
returns table (job_id bigint, status text, recorded boolean) language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_mergejoin = off as $$
#variable_conflict use_column
declare
  c_log_length constant integer := 65536;
  c_message_length constant integer := 4000;
  c_no_file constant jsonpath := 'strict $[*] ? (@.type() != "object" || !exists(@ ? (
    @.name.type() == "string" && @.content_type.type() == "string" && @.key.type() == "string"
    && @.size.type() == "number" && @.size >= 0 && @.size <= 9007199254740991 && @.size.floor() == @.size)))';
  v_now timestamptz := qgjob.now();
  v_batch qgjob.batch;
  v_loss record;
  v_results qgjob.attempt_result[];
  v_jobs qgjob.job[];
  v_job record;
  v_ended qgjob.ended_job[];
  v_final bigint[];
  v_again bigint[];
begin
  if jsonb_typeof(p_results) is distinct from 'array'
      or jsonb_path_exists(p_results, 'strict $[*] ? (@.type() != "object")') then
    raise exception using errcode = 'QJ422', constraint = 'results_are_a_list', column = 'results',
      message = 'Results are a list of objects, one for each job.';
  end if;
  begin
    v_results := array(select result from jsonb_populate_recordset(null::qgjob.attempt_result, p_results) as result);
  exception when data_exception then
    perform qgjob.read_record(null::qgjob.attempt_result, value,
      case when jsonb_array_length(p_results) > 1 then format('results[%s].', ordinality - 1) else '' end)
    from jsonb_array_elements(p_results) with ordinality order by ordinality;
    raise;
  end;
  perform from unnest(v_results) as result
  where result.job_id is null or result.status is null or result.status not in ('completed', 'failed', 'cancelled')
    or (result.status = 'failed') <> (result.failure_kind is not null)
    or result.failure_kind not in ('test', 'timeout', 'infrastructure');
  if found then
    raise exception using errcode = 'QJ422', constraint = 'a_failure_has_a_kind', column = 'status',
      message = 'A result is completed, cancelled, or failed with a failure_kind of test, timeout or infrastructure.';
  end if;
  perform from unnest(v_results) as result
  where jsonb_typeof(result.tests) <> 'array' or jsonb_typeof(result.files) <> 'array'
    -- What nobody could read afterwards.
    or result.tests <> '[]' and jsonb_path_exists(result.tests, 'strict $[*] ? (@.type() != "object")')
    or result.files <> '[]' and jsonb_path_exists(result.files, c_no_file)
    -- Infinity, and NaN, which is more than that
    or greatest(result.reset_s, result.upload_s, result.video_offset_s) > 1e9
    or least(result.reset_s, result.upload_s, result.video_offset_s) < -1e9;
  if found then
    raise exception using errcode = 'QJ422', constraint = 'results_are_a_list', column = 'results',
      message = 'The tests and files of a result are lists of objects, and its times are numbers of seconds.',
      hint = 'A file has name, content_type and key, which are texts, and size, a whole number of bytes.';
  elsif (select count(distinct result.job_id) from unnest(v_results) as result) < cardinality(v_results) then
    raise exception using errcode = 'QJ422', constraint = 'a_job_ends_once', column = 'job_id',
      message = 'Each job has one result.';
  elsif not qgjob.may_write(p_lease) then
    perform qgjob.refuse_lease(p_lease);
  end if;

  select * into v_batch from qgjob.batch where batch_id = p_lease;
  select result.job_id as id, result.message into v_loss from unnest(v_results) as result
  where result.failure_kind = 'infrastructure' order by result.job_id desc limit 1;
  -- Devices before jobs, as everywhere; only where this ends a series of losses, or continues one.
  perform from qgjob.device where device_id = v_batch.device_id and (strikes > 0 or v_loss.id is not null)
  for no key update;
  v_jobs := array(
    select job from qgjob.job where job.job_id = any (array(select result.job_id from unnest(v_results) as result))
      and qgjob.may_see(job.org_id)
    order by job.job_id for no key update);

  for v_job in  -- what is not simply to be recorded
    select result.job_id, result.status, result.failure_kind, job.status as now, job.batch_id, job.cancel_requested_at,
      earlier.number as attempt
    from unnest(v_results) as result
    left join unnest(v_jobs) as job using (job_id)
    left join qgjob.attempt as earlier on job.batch_id is distinct from p_lease
      and earlier.job_id = result.job_id and earlier.batch_id = p_lease
      and (earlier.status, earlier.failure_kind) is not distinct from (result.status, result.failure_kind)
    where p_lease is null or job.batch_id is distinct from p_lease or result.status = 'cancelled' and job.cancel_requested_at is null
  loop
    if v_job.now is null then
      raise exception using errcode = 'QJ404', constraint = 'job_exists',
        message = format('There is no job %s.', v_job.job_id);
    elsif v_job.attempt is not null then
      return query select v_job.job_id, v_job.now, false;
    elsif p_lease is null or v_job.batch_id is distinct from p_lease then
      perform qgjob.refuse_lease(p_lease);
    else
      raise exception using errcode = 'QJ409', constraint = 'cancellation_was_requested',
        message = format('Nobody has cancelled job %s.', v_job.job_id), hint = 'Release the batch to give the job back.';
    end if;
  end loop;

  v_ended := array(
    select (job.job_id, case
        when result.status in ('completed', 'cancelled') then result.status
        when job.cancel_requested_at is not null then
          case when result.failure_kind = 'infrastructure' then 'cancelled' else 'failed' end
        when result.failure_kind = 'infrastructure' then case when job.losses < 3 then 'pending' else 'failed' end
        when job.test_failures < job.retries and result.permanent is not true then 'pending'
        else 'failed' end, result)::qgjob.ended_job
    from unnest(v_jobs) as job join unnest(v_results) as result using (job_id)
    where job.batch_id = p_lease);
  if v_ended = '{}' then
    return;
  end if;

  v_final := array(select ended.job_id from unnest(v_ended) as ended where ended.status <> 'pending');
  v_again := array(select ended.job_id from unnest(v_ended) as ended where ended.status = 'pending');

  insert into qgjob.attempt (job_id, number, org_id, batch_id, status, failure_kind, message, tests, log, started_at,
    ended_at, files, reset_s, upload_s, video_offset_s, permanent)
  select job.job_id, job.attempts + 1, job.org_id, p_lease, result.status, result.failure_kind,
    left(result.message, c_message_length), coalesce(result.tests, '[]'), right(coalesce(result.log, ''), c_log_length),
    coalesce(job.started_at, v_batch.claimed_at), v_now, coalesce(result.files, '[]'), result.reset_s, result.upload_s,
    result.video_offset_s, coalesce(result.permanent, false)
  from unnest(v_results) as result join unnest(v_jobs) as job using (job_id)
  where job.batch_id = p_lease;
  perform qgjob.count_attempts(p_lease, cardinality(v_ended));

  update qgjob.job set
    status = ended.status, version = version + 1, batch_id = null, attempts = attempts + 1,
    test_failures = test_failures + coalesce(((ended.result).failure_kind in ('test', 'timeout'))::integer, 0),
    failed_before = failed_before or coalesce((ended.result).failure_kind in ('test', 'timeout'), false),
    losses = losses + coalesce(((ended.result).failure_kind = 'infrastructure')::integer, 0),
    failure_kind = case when ended.status = 'failed' then (ended.result).failure_kind end,
    flaky = ended.status = 'completed' and test_failures > 0,
    message = left((ended.result).message, c_message_length),
    started_at = case when ended.status <> 'pending' then coalesce(started_at, v_batch.claimed_at) end,
    finished_at = case when ended.status <> 'pending' then v_now end
  from unnest(v_ended) as ended
  where job.job_id = ended.job_id
    and job.job_id = any (v_final || v_again);  -- as in end_batches

  if v_loss.id is not null then
    perform qgjob.strike_device(v_batch.device_id, v_loss.message, v_loss.id);
  elsif exists (select from unnest(v_ended) as ended where (ended.result).status <> 'cancelled') then
    update qgjob.device set strikes = 0, lost_job_id = null where device_id = v_batch.device_id and strikes > 0;
  end if;
  perform qgjob.learn_tests(v_jobs, v_ended);
  perform qgjob.settle_runs(v_final);
  if v_again <> '{}' then
    perform qgjob.raise_heads(v_again);
    perform qgjob.wake_devices(array(
      select target from qgjob.batch join qgjob.job_group using (group_id) where batch_id = p_lease));
    perform qgjob.announce(v_again);
  end if;
  perform qgjob.emit('job.' || case when ended.status = 'pending' then 'retried' else ended.status end,
      jsonb_build_object('org_id', v_jobs[1].org_id, 'job_id', ended.job_id, 'failure_kind', (ended.result).failure_kind))
  from unnest(v_ended) as ended
  where exists (select from pgmq.topic_bindings);  -- asked once here, not once for every job
  return query select ended.job_id, ended.status, true from unnest(v_ended) as ended;
end $$;
