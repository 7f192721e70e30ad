-- Refuse these jobs early, before rows are written for them, where the organisation's quota has no room for those of them
-- that nothing waits for yet. Two submissions at once may both pass here: count_submitted decides.
create or replace function qgjob.check_quota(p_org_id text, p_most integer, p_wanted qgjob.wanted_job[])
returns void language plpgsql volatile as $$
declare
  v_pending integer;
  v_new integer;
begin
  select at_most into v_pending from qgjob.pending_count where org_id = p_org_id;
  if v_pending + cardinality(p_wanted) <= p_most then
    return;
  end if;
  select count(*) into v_new from unnest(p_wanted) as wanted
  where not wanted.dedupe or (  -- not `not exists`, for which everybody's jobs might be read at once
    select job_id from qgjob.job
    where job.group_id = wanted.group_id and job.test_path = wanted.test_path
      and job.dedupe and job.finished_at is null and job.cancel_requested_at is null) is null;
  v_pending := qgjob.pending_jobs(p_org_id, p_most + 1);
  if v_new > 0 and v_pending + v_new > p_most then
    perform qgjob.refuse_over_quota(p_org_id, p_most, v_pending, v_new);
  end if;
end $$;
