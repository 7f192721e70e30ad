-- Ask a worker to finish the tests it runs, give back the rest and leave.
drop function if exists qgjob.drain_worker(bigint);
create or replace function qgjob.drain_worker(p_worker_id bigint)
returns table (
  worker_id bigint, name text, version text, status text, targets text[], devices integer, started_at timestamptz,
  seen_at timestamptz, org_ids text[]
) language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
  perform qgjob.refuse_shared(format('Worker %s', p_worker_id), org_ids) from qgjob.worker where worker_id = p_worker_id;
  perform qgjob.require_worker(p_worker_id);
  update qgjob.worker set draining = true where worker_id = p_worker_id;
  perform qgjob.call_workers(array[p_worker_id]);
  return query
  select worker_id, name, version, status, targets, devices, started_at, seen_at, org_ids
  from qgjob.list_workers(p_worker_id);
end $$;
