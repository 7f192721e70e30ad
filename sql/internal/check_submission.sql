-- The outside of a submitted message; submit_run checks what is in it.
create or replace function qgjob.check_submission(p_message jsonb) returns void language plpgsql stable as $$
declare
  v_unknown text;
begin
  if jsonb_typeof(p_message) is distinct from 'object' then
    raise exception using errcode = 'QJ422', constraint = 'submission_is_an_object',
      message = 'A submission is an object.';
  end if;
  select min(name) into v_unknown from jsonb_object_keys(p_message) as name
  where name not in ('org_id', 'app_version_id', 'jobs', 'defaults', 'labels', 'idempotency_key');
  if v_unknown is not null then
    raise exception using errcode = 'QJ422', constraint = 'submission_is_well_formed', column = v_unknown,
      message = format('There is no field %s in a submission.', to_json(v_unknown));
  end if;
end $$;
