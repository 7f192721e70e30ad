-- Where the files of the attempt go that this lease has of the job. Refused where the lease does not hold the job.
create or replace function qgjob.locate_attempt(p_lease bigint, p_job_id bigint)
returns table (org_id text, attempt integer) language plpgsql stable security definer
set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
  return query
  select job.org_id, job.attempts + 1 from qgjob.job where job_id = p_job_id and batch_id = p_lease
    and qgjob.may_write(p_lease);
  if not found then
    perform qgjob.refuse_lease(p_lease);
  end if;
end $$;
