-- One file of an attempt, by its number there.
create or replace function qgjob.get_file(
  p_job_id bigint, p_attempt integer, p_number integer, p_org_id text default null
) returns table (job_id bigint, attempt smallint, number integer, name text, content_type text, size bigint, key text)
language plpgsql stable as $$
#variable_conflict use_column
begin
  return query select * from qgjob.list_files(p_job_id, p_attempt, p_org_id) where number = p_number;
  if not found then
    raise exception using errcode = 'QJ404', constraint = 'file_exists',
      message = format('Attempt %s of job %s has no file %s.', p_attempt, p_job_id, p_number);
  end if;
end $$;
