-- Give a head to groups that have pending jobs and none. There should be no such group; but whatever made one, its jobs
-- would wait for ever, unseen. Reads one index entry of each group that has pending jobs. The number of groups.
create or replace function qgjob.reconcile_heads() returns bigint language sql volatile
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
  with recursive waiting as (
    (select group_id from qgjob.job where status = 'pending' order by group_id limit 1)
    union all
    select (
      select job.group_id from qgjob.job where status = 'pending' and job.group_id > waiting.group_id
      order by job.group_id limit 1)
    from waiting where group_id is not null
  ), headless as materialized (
    select group_id from waiting join qgjob.job_group using (group_id) where head_priority is null
  )
  select count(qgjob.raise_heads(array(
    select job_id from qgjob.job where job.group_id = headless.group_id and status = 'pending'
    order by priority desc, failed_before desc, predicted_s desc, job_id limit 200)))
  from headless
$$;
