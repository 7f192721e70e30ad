-- What a job waits for, what is ahead of it, and which device will probably run it when; or why it ran where it did.
create or replace function qgjob.get_why(p_job_id bigint, p_org_id text default null)
returns table (
  job_id bigint, status text, reason text, jobs_ahead integer, work_ahead_s double precision, groups_ahead integer,
  devices_fitting integer, devices_on_group integer, predicted_device text, predicted_start_s double precision
) language plpgsql stable as $$
begin
  perform qgjob.get_job(p_job_id, p_org_id);
  return query select * from qgjob.explain_job(p_job_id);
end $$;
