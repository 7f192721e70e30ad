-- A claimed batch as its worker receives it.
drop function if exists qgjob.batch_contents(bigint);
create or replace function qgjob.batch_contents(p_batch_id bigint)
returns table (
  lease bigint, epoch bigint, org_id text, app_version_id text, target text, selector jsonb, reset text, build text,
  install boolean, device text, lease_s integer, jobs jsonb, artifact jsonb
) language sql stable as $$
  select batch.batch_id, batch.epoch, batch.org_id, job_group.app_version_id, job_group.target, job_group.selector,
    job_group.reset, coalesce(batch.build, job_group.build), batch.install, device.name, worker.lease_s,
    (select coalesce(json_agg(listed), '[]')::jsonb  -- faster than jsonb_agg
     from (
       select job_id, test_path, timeout_s, attempts + 1 as attempt from qgjob.job where batch_id = p_batch_id
       order by priority desc, failed_before desc, predicted_s desc, job_id
     ) as listed),
    (select jsonb_build_object('url', url, 'sha256', sha256, 'app_id', app_id)
     from qgjob.find_artifact(job_group.org_id, job_group.app_version_id, job_group.selector ->> 'platform'))
  from qgjob.batch
  join qgjob.job_group using (group_id)
  join qgjob.device using (device_id)
  join qgjob.worker on worker.worker_id = batch.worker_id
  where batch.batch_id = p_batch_id
$$;
