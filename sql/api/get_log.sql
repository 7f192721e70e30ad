-- The end of what an attempt printed, and why it failed; the latest attempt's where none is named.
drop function if exists qgjob.get_log(bigint, integer, text);
create or replace function qgjob.get_log(p_job_id bigint, p_attempt integer default null, p_org_id text default null)
returns table (job_id bigint, attempt smallint, log text, message text) language plpgsql stable as $$
#variable_conflict use_column
declare
  v_job qgjob.job_details;
begin
  select * into v_job from qgjob.get_job(p_job_id, p_org_id);
  return query
  select attempt.job_id, number, log, attempt.message from qgjob.attempt
  where job_id = p_job_id and (p_attempt is null or number = p_attempt)
  order by number desc limit 1;
  if not found then
    raise exception using errcode = 'QJ404', constraint = 'attempt_exists',
      message = case when p_attempt is null
        then format('Job %s has no attempt yet: it is %s.', p_job_id, v_job.status)
        else format('Job %s has no attempt %s.', p_job_id, p_attempt) end;
  end if;
end $$;
