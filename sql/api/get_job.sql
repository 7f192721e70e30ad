-- One job. p_org_id null: of any organisation.
create or replace function qgjob.get_job(p_job_id bigint, p_org_id text default null) returns setof qgjob.job_details
language plpgsql stable as $$
begin
  return query
  select * from reporting.jobs where job_id = p_job_id and (p_org_id is null or org_id = p_org_id)
    and qgjob.may_see(org_id);
  if not found then
    raise exception using errcode = 'QJ404', constraint = 'job_exists',
      message = format('There is no job %s.', p_job_id);
  end if;
end $$;
