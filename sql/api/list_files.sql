-- The files that a job's attempts left behind. `number` counts from 1 in each attempt; `key` is for the object store only.
create or replace function qgjob.list_files(p_job_id bigint, p_attempt integer default null, p_org_id text default null)
returns table (job_id bigint, attempt smallint, number integer, name text, content_type text, size bigint, key text)
language plpgsql stable as $$
#variable_conflict use_column
begin
  perform qgjob.get_job(p_job_id, p_org_id);
  return query
  select attempt.job_id, attempt.number, ordinality::integer, file ->> 'name', file ->> 'content_type',
    (file ->> 'size')::bigint, file ->> 'key'
  from qgjob.attempt, jsonb_array_elements(files) with ordinality as kept (file, ordinality)
  where attempt.job_id = p_job_id and (p_attempt is null or attempt.number = p_attempt)
  order by attempt.number, ordinality;
end $$;
