-- The jobs that this run has created repeat these: each names the one with its test_path, target, selector and reset. Not
-- that of its group: the organisation may group by other labels since.
create or replace function qgjob.name_repeated(p_run_id bigint, p_job_ids bigint[]) returns void
language plpgsql volatile
set enable_nestloop = off as $$  -- or a plan of small tables compares each with each
declare
  v_created bigint[] := array(select job_id from qgjob.run_job where run_id = p_run_id and not deduplicated);
begin
  update qgjob.job set retry_of = named.repeated
  from (
    select job_id, first_value(job_id) over (partition by test_path, installation order by job_id) as repeated
    from (
      select job_id, test_path, (
        select (target, selector, reset) from qgjob.job_group where job_group.group_id = job.group_id) as installation
      from qgjob.job where job_id = any (p_job_ids || v_created)
    ) as same
  ) as named
  where job.job_id = any (v_created) and named.job_id = job.job_id;
end $$;
