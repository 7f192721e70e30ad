-- Those of the runs whose seq is beyond the one given for them. `run_ids`: what announces their next change.
create or replace function qgjob.changed_runs(p_run_ids bigint[], p_after_seqs bigint[])
returns table (id bigint, seq bigint, ended boolean, run_ids bigint[], document jsonb) language sql stable security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
  select run.run_id, run.seq::bigint, run.finished_at is not null, array[run.run_id], to_jsonb(run)
  from unnest(p_run_ids, p_after_seqs) as wanted (run_id, after_seq)
  cross join lateral (select * from reporting.runs where runs.run_id = wanted.run_id offset 0) as run
  where run.seq > wanted.after_seq
$$;
