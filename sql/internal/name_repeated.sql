-- The jobs that this run has created repeat these: each names the one with its test_path, target, selector and reset. Not
-- that of its group: the organisation may group by other labels since. A test that was to run twice is two of them.
create or replace function qgjob.name_repeated(p_run_id bigint, p_job_ids bigint[]) returns void
language plpgsql volatile
set enable_nestloop = off as $$  -- or a plan of small tables compares each with each
declare
  v_created bigint[] := array(select job_id from qgjob.job_of_run where run_id = p_run_id and not deduplicated);
begin
  with known as materialized (
    select job_id, job_id in (select unnest(v_created)) as is_new, array[test_path, dedupe::text, (
      select (target, selector, reset)::text from qgjob.job_group where job_group.group_id = job.group_id)] as what
    from qgjob.job where job_id = any (p_job_ids || v_created)
  ), counted as materialized (
    select job_id, is_new, what, row_number() over (partition by what, is_new order by job_id) as place from known
  )
  update qgjob.job set retry_of = earlier.job_id
  from counted as again join counted as earlier using (what, place)
  where again.is_new and not earlier.is_new and job.job_id = again.job_id and job.job_id = any (v_created);
end $$;
