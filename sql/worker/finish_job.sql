-- Record how one attempt ended; see finish_jobs.
drop function if exists qgjob.finish_job(bigint, bigint, text, text, text, jsonb, text);
drop function if exists qgjob.finish_job(bigint, bigint, text, text, text, jsonb, text, jsonb, real, real, real);
drop function if exists qgjob.finish_job(bigint, bigint, text, text, text, jsonb, text, jsonb, double precision,
  double precision, double precision);
create or replace function qgjob.finish_job(
  p_lease bigint, p_job_id bigint, p_status text, p_failure_kind text default null, p_message text default null,
  p_tests jsonb default '[]', p_log text default '', p_files jsonb default '[]', p_reset_s double precision default null,
  p_upload_s double precision default null, p_video_offset_s double precision default null,
  p_permanent boolean default false
) returns table (status text, recorded boolean) language sql volatile security definer
set search_path = pg_catalog, pg_temp as $$
  select status, recorded from qgjob.finish_jobs(p_lease, jsonb_build_array(jsonb_build_object(
    'job_id', p_job_id, 'status', p_status, 'failure_kind', p_failure_kind, 'message', p_message, 'tests', p_tests,
    'log', p_log, 'files', p_files, 'reset_s', p_reset_s, 'upload_s', p_upload_s, 'video_offset_s', p_video_offset_s,
    'permanent', p_permanent)))
$$;
