-- One run. p_org_id null: of any organisation.
create or replace function qgjob.get_run(p_run_id bigint, p_org_id text default null) returns setof qgjob.run_details
language plpgsql stable set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
begin
  perform qgjob.require_run(p_run_id, p_org_id);
  return query select * from reporting.runs where run_id = p_run_id;
end $$;
