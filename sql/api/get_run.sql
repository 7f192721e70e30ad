-- One run. p_org_id null: of any organisation.
create or replace function qgjob.get_run(p_run_id bigint, p_org_id text default null) returns setof qgjob.run_details
language plpgsql stable set enable_hashjoin = off set enable_mergejoin = off as $$
begin
  return query
  select * from reporting.runs where run_id = p_run_id and (p_org_id is null or org_id = p_org_id)
    and qgjob.may_see(org_id);
  if not found then
    raise exception using errcode = 'QJ404', constraint = 'run_exists',
      message = format('There is no run %s.', p_run_id);
  end if;
end $$;
