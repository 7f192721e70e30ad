-- The workers that were heard of within the last day, live ones first; p_all: those before, too. p_worker_id: only that one.
drop function if exists qgjob.list_workers(bigint);
create or replace function qgjob.list_workers(p_worker_id bigint default null, p_all boolean default false)
returns table (
  worker_id bigint, name text, version text, status text, targets text[], devices integer, started_at timestamptz,
  seen_at timestamptz, org_ids text[]
) language sql stable as $$
  select worker_id, name, version, status, targets, (
      select count(*) from qgjob.device where device.worker_id = worker.worker_id)::integer as devices,
    started_at, seen_at, org_ids
  from qgjob.worker cross join lateral qgjob.worker_status(worker) as status
  where case when p_worker_id is not null then worker_id = p_worker_id
    else p_all or coalesce(ended_at, seen_at) > qgjob.now() - interval '1 day' end
  order by array_position(array['live', 'draining', 'lost', 'ended'], status), worker_id
$$;
