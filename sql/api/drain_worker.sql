-- Ask a worker to finish the tests it runs, give back the rest and leave.
create or replace function qgjob.drain_worker(p_worker_id bigint)
returns table (
  worker_id bigint, name text, version text, status text, targets text[], devices integer, started_at timestamptz,
  seen_at timestamptz
) language plpgsql volatile as $$
#variable_conflict use_column
begin
  perform qgjob.require_worker(p_worker_id);
  update qgjob.worker set draining = true where worker_id = p_worker_id;
  perform qgjob.call_workers(array[p_worker_id]);
  return query
  select worker_id, name, version, status, targets, devices, started_at, seen_at
  from qgjob.list_workers(p_worker_id);
end $$;
