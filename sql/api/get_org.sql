-- One organisation, with how many of its jobs are pending: counted up to 1,000,000.
create or replace function qgjob.get_org(p_org_id text)
returns setof qgjob.org_details language plpgsql stable as $$
begin
  return query
  select listed.org_id, weight, max_devices, max_pending_jobs, requests_per_minute, group_by, devices, created_at,
    qgjob.pending_jobs(p_org_id, 1000000), keep_days
  from qgjob.list_orgs(p_org_id) as listed
  where p_org_id is not null and qgjob.may_see(p_org_id);
  if not found then
    raise exception using errcode = 'QJ404', constraint = 'org_exists',
      message = format('There is no organisation %s.', coalesce(p_org_id, 'without a name')),
      hint = 'An organisation comes into being with its first submission, or when it is created.';
  end if;
end $$;
