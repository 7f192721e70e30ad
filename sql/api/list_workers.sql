-- The workers, live ones first. p_worker_id: only that one.
drop function if exists qgjob.list_workers(bigint);
create or replace function qgjob.list_workers(p_worker_id bigint default null)
returns table (
  worker_id bigint, name text, version text, status text, targets text[], devices integer, started_at timestamptz,
  seen_at timestamptz, org_ids text[]
) language sql stable as $$
  select worker_id, name, version, status, targets, devices, started_at, seen_at, org_ids
  from reporting.workers where p_worker_id is null or worker_id = p_worker_id
  order by array_position(array['live', 'draining', 'lost', 'ended'], status), worker_id
$$;
