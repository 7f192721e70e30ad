-- Cancel one job, for every run that waits for it. An ended job stays as it is.
create or replace function qgjob.cancel_job(p_job_id bigint, p_org_id text default null)
returns setof qgjob.cancellation language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set lock_timeout = '10s' as $$
begin
  perform from qgjob.job where job_id = p_job_id and (p_org_id is null or org_id = p_org_id) and qgjob.may_see(org_id)
  for no key update;
  if not found then
    raise exception using errcode = 'QJ404', constraint = 'job_exists', message = format('There is no job %s.', p_job_id);
  end if;
  return next qgjob.cancel_jobs(array[p_job_id]);
end $$;
