-- The job runs on the device from now on. `skip`: it was cancelled or given to another device meanwhile, go on with the
-- next. May be repeated.
create or replace function qgjob.start_job(p_lease bigint, p_job_id bigint) returns table (decision text)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_mergejoin = off as $$
declare
  v_job qgjob.job;
begin
  select * into v_job from qgjob.job where job_id = p_job_id and qgjob.may_write(p_lease) for no key update;
  if v_job.status = 'cancelled' or v_job.batch_id is distinct from p_lease and exists (
    select from qgjob.batch where batch_id = p_lease and ended_at is null and group_id = v_job.group_id
  ) then
    return query select 'skip';
    return;
  elsif p_lease is null or v_job.batch_id is distinct from p_lease then
    perform qgjob.refuse_lease(p_lease);
  end if;
  if v_job.status = 'queued' then
    update qgjob.job set status = 'running', started_at = qgjob.now(), version = version + 1 where job_id = p_job_id;
    perform qgjob.announce(array[p_job_id]);
    perform qgjob.emit('job.started', jsonb_build_object('org_id', v_job.org_id, 'job_id', p_job_id));
  end if;
  return query select 'run';
end $$;
