-- The run of this id, or a refusal. p_org_id null: of any organisation.
create or replace function qgjob.require_run(p_run_id bigint, p_org_id text) returns qgjob.run
language plpgsql stable as $$
declare
  v_run qgjob.run;
begin
  select * into v_run from qgjob.run
  where run_id = p_run_id and (p_org_id is null or org_id = p_org_id) and qgjob.may_see(org_id);
  if v_run.run_id is null then
    raise exception using errcode = 'QJ404', constraint = 'run_exists', message = format('There is no run %s.', p_run_id);
  end if;
  return v_run;
end $$;
