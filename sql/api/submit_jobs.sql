-- Submit many jobs, each as a run of its own, in one transaction: what submit_job would do with one after the other, for
-- a fraction of the cost. Answers in their order; if one is refused, none is accepted.
--   p_submissions   a list of {org_id, app_version_id, job, labels, idempotency_key, traceparent}
create or replace function qgjob.submit_jobs(p_submissions jsonb)
returns table (job_id bigint, run_id bigint, status text, deduplicated boolean) language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp as $$
declare
  c_most constant integer := 1000;  -- each of their jobs looks for its run among all of them
  v_requests qgjob.run_request[];
  v_runs qgjob.submitted[];
begin
  if jsonb_typeof(p_submissions) is distinct from 'array'
      or jsonb_path_exists(p_submissions, 'strict $[*] ? (@.type() != "object")') then
    raise exception using errcode = 'QJ422', constraint = 'submissions_are_a_list', column = 'submissions',
      message = 'Submissions are a list of objects, one for each job.';
  end if;
  if jsonb_array_length(p_submissions) > c_most then
    raise exception using errcode = 'QJ422', constraint = 'submissions_are_a_list', column = 'submissions',
      message = format('At most %s submissions at once.', c_most), hint = 'Make several calls, or one run of many jobs.';
  end if;
  v_requests := array(
    select (ordinality, null, org_id, app_version_id, coalesce(labels, '{}'), null, idempotency_key,
      qgjob.submission_hash(idempotency_key, app_version_id, jsonb_build_array(job), '{}', coalesce(labels, '{}')),
      traceparent)::qgjob.run_request
    from rows from (jsonb_to_recordset(p_submissions) as (
      org_id text, app_version_id text, labels jsonb, idempotency_key text, traceparent text, job jsonb)
    ) with ordinality
    order by ordinality);
  perform qgjob.check_labels(labels, 'run') from unnest(v_requests) where labels <> '{}';
  v_runs := array(select run from qgjob.accept_runs(
    v_requests,
    qgjob.read_jobs(
      (select jsonb_agg(value -> 'job' order by ordinality) from jsonb_array_elements(p_submissions) with ordinality), '{}'),
    true) as run);
  return query
  select job.job_id, run.run_id, job.status, run.deduplicated > 0
  from unnest(v_runs) with ordinality as run (run_id, total, deduplicated, replayed, job_ids, place)
  join qgjob.job on job.job_id = run.job_ids[1]
  order by place;
end $$;
