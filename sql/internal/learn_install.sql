-- A build has just become usable on the batch's device: keep how long that took since the device was claimed. Much longer
-- than is known, it may have been a fault: it counts as three times as long, or 90 s. What only a clock that jumps would say
-- counts for nothing.
create or replace function qgjob.learn_install(p_batch_id bigint) returns void language sql volatile as $$
  insert into qgjob.install_timing as known (org_id, target, mean_s)
  select job_group.org_id, job_group.target, least(
    extract(epoch from qgjob.now() - batch.claimed_at),
    greatest(90, 3 * qgjob.install_s(job_group.org_id, job_group.target)))
  from qgjob.batch join qgjob.job_group using (group_id)
  where batch_id = p_batch_id and qgjob.now() between batch.claimed_at and batch.claimed_at + interval '1 hour'
  on conflict (org_id, target) do update set mean_s = known.mean_s + 0.3 * (excluded.mean_s - known.mean_s)
$$;
