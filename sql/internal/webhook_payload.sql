-- What a webhook is told of an event: its type and time, what the engine said of it, and the run or job as it is now, with
-- the first ten failures of a run. Anybody may have sent the message: nothing in it is trusted to be there.
create or replace function qgjob.webhook_payload(p_event jsonb) returns jsonb language sql stable
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
  select jsonb_build_object('type', p_event ->> 'event', 'timestamp', p_event ->> 'at', 'data',
    p_event - array['event', 'at']
    || coalesce((
      select jsonb_build_object('run', to_jsonb(runs) - array['seq', 'pending', 'queued', 'running', 'org_id'])
      from reporting.runs
      where run_id = substring(p_event ->> 'run_id' from '^[0-9]{1,18}$')::bigint and org_id = p_event ->> 'org_id'), '{}')
    || case when p_event ->> 'event' = 'run.finished' then jsonb_build_object('failures', (
      select coalesce(jsonb_agg(jsonb_build_object('job_id', job_id, 'test_path', test_path, 'target', target,
        'failure_kind', failure_kind, 'message', left(message, 300))), '[]')
      from (
        select job_id, test_path, target, failure_kind, message
        from qgjob.job_of_run join qgjob.job_group using (group_id)
        where run_id = substring(p_event ->> 'run_id' from '^[0-9]{1,18}$')::bigint
          and org_id = p_event ->> 'org_id' and status = 'failed' and not abandoned
        order by job_id limit 10
      ) as failed)) else '{}' end
    || coalesce((
      select jsonb_build_object('job', jsonb_build_object('job_id', job_id, 'run_id', run_id,
        'app_version_id', app_version_id, 'test_path', test_path, 'target', target, 'selector', selector,
        'status', status, 'failure_kind', failure_kind, 'flaky', flaky, 'message', left(message, 1000),
        'attempts', attempts, 'device', device, 'duration_s', duration_s))
      from reporting.jobs
      where job_id = substring(p_event ->> 'job_id' from '^[0-9]{1,18}$')::bigint and org_id = p_event ->> 'org_id'), '{}'))
$$;
