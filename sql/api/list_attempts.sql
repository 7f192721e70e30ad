-- A job's attempts, first to last; what the columns mean is said in reporting/attempts.sql.
drop function if exists qgjob.list_attempts(bigint, text);
create or replace function qgjob.list_attempts(p_job_id bigint, p_org_id text default null)
returns table (
  job_id bigint, number smallint, device text, worker text, status text, failure_kind text, message text,
  started_at timestamptz, ended_at timestamptz, duration_s double precision, tests jsonb, queue_s double precision,
  install_s double precision, session_s double precision, batch_s double precision, reset_s double precision,
  body_s double precision, upload_s double precision, video_url text, video_offset_s double precision, files jsonb,
  log_tail text, permanent boolean
) language plpgsql stable as $$
#variable_conflict use_column
begin
  perform qgjob.get_job(p_job_id, p_org_id);
  return query
  select job_id, number, device, worker, status, failure_kind, message, started_at, ended_at, duration_s, tests,
    queue_s, install_s, session_s, batch_s, reset_s, body_s, upload_s, video_url, video_offset_s, files, log_tail,
    permanent
  from reporting.attempts where job_id = p_job_id order by number;
end $$;
