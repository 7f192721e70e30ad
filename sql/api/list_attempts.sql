-- A job's attempts, first to last.
create or replace function qgjob.list_attempts(p_job_id bigint, p_org_id text default null)
returns table (
  job_id bigint, number smallint, device text, worker text, status text, failure_kind text, message text,
  started_at timestamptz, ended_at timestamptz, duration_s double precision, tests jsonb
) language plpgsql stable as $$
#variable_conflict use_column
begin
  perform qgjob.get_job(p_job_id, p_org_id);
  return query
  select job_id, number, device, worker, status, failure_kind, message, started_at, ended_at, duration_s, tests
  from reporting.attempts where job_id = p_job_id order by number;
end $$;
