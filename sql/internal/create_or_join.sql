-- Create these jobs, in the order of group and test_path. One that is already waited for (same group, same test_path,
-- neither finished nor being cancelled) is joined instead: p_joined[n] instead of p_instead[n], locked in the order of ids.
create or replace function qgjob.create_or_join(
  p_wanted qgjob.wanted_job[], out p_created bigint[], out p_joined bigint[], out p_instead bigint[]
) language plpgsql volatile as $$
declare
  v_now timestamptz := qgjob.now();
begin
  loop
    p_instead := '{}';
    p_joined := '{}';
    begin
      with created as (
        insert into qgjob.job (job_id, org_id, group_id, test_path, priority, retries, timeout_s, dedupe, predicted_s,
          failed_before, created_at)
        overriding system value
        select job_id, org_id, group_id, test_path, priority, retries, timeout_s, dedupe, predicted_s, failed_before,
          v_now
        from unnest(p_wanted)
        order by group_id, test_path
        on conflict (group_id, test_path) where dedupe and finished_at is null and cancel_requested_at is null
        do nothing
        returning job_id
      )
      select coalesce(array_agg(job_id), '{}') into p_created from created;
      exit when cardinality(p_created) = cardinality(p_wanted);

      -- What was not created is waited for already: join it.
      with waiting as (
        select job.job_id, wanted.job_id as instead_of, wanted.priority
        from unnest(p_wanted) as wanted
        join qgjob.job on job.group_id = wanted.group_id and job.test_path = wanted.test_path
          and job.dedupe and job.finished_at is null and job.cancel_requested_at is null
        where wanted.dedupe and wanted.job_id not in (select unnest(p_created))
        order by job.job_id
        for no key update of job
      ), raised as (
        update qgjob.job set priority = waiting.priority, version = version + 1
        from waiting
        where job.job_id = waiting.job_id and job.priority < waiting.priority
      )
      select coalesce(array_agg(job_id), '{}'), coalesce(array_agg(instead_of), '{}') into p_joined, p_instead
      from waiting;
      exit when cardinality(p_created) + cardinality(p_joined) = cardinality(p_wanted);

      -- Some have ended in between. Creating just those now would take locks out of their order: begin again.
      raise sqlstate 'QJ000';
    exception when sqlstate 'QJ000' then
      null;
    end;
  end loop;
end $$;
