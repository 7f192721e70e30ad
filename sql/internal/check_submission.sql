-- The outside of a submitted message; submit_run checks what is in it.
create or replace function qgjob.check_submission(p_message jsonb) returns void language plpgsql stable as $$
declare
  v_field text;
begin
  if jsonb_typeof(p_message) is distinct from 'object' then
    raise exception using errcode = 'QJ422', constraint = 'submission_is_an_object',
      message = 'A submission is an object.';
  end if;
  select min(name) into v_field from jsonb_object_keys(p_message) as name
  where name not in ('org_id', 'app_version_id', 'jobs', 'defaults', 'labels', 'idempotency_key');
  if v_field is not null then
    raise exception using errcode = 'QJ422', constraint = 'submission_is_well_formed', column = v_field,
      message = format('There is no field %s in a submission.', to_json(v_field));
  end if;
  select name into v_field from unnest(array['org_id', 'app_version_id', 'idempotency_key']) as name
  where coalesce(jsonb_typeof(p_message -> name), 'null') not in ('string', 'null') limit 1;
  if v_field is not null then
    raise exception using errcode = 'QJ422', constraint = 'submission_is_well_formed', column = v_field,
      message = format('%s is a string.', v_field);
  end if;
end $$;
