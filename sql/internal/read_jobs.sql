-- The submitted jobs with every default filled in, in their order. The first that breaks a rule is refused by the name
-- of its field.
create or replace function qgjob.read_jobs(p_jobs jsonb, p_defaults jsonb) returns setof qgjob.job_request
language plpgsql stable as $$
declare
  c_most constant integer := 10000;
  v_jobs jsonb := jsonb_strip_nulls(p_jobs);
  v_of text;
  v_base jsonb := '{"target": "emulator", "selector": {}, "reset": "clear", "priority": "normal", "retries": 0,
    "timeout_s": 900, "dedupe": true}';
  v_wrong record;
begin
  if jsonb_typeof(p_jobs) is distinct from 'array' or jsonb_array_length(p_jobs) not between 1 and c_most then
    raise exception using errcode = 'QJ422', constraint = 'jobs_are_a_list', column = 'jobs',
      message = format('A run has 1 to %s jobs.', c_most), hint = 'Submit a larger set as several runs.';
  end if;
  if jsonb_typeof(p_defaults) is distinct from 'object' then
    raise exception using errcode = 'QJ422', constraint = 'defaults_are_an_object', column = 'defaults',
      message = 'The defaults of a run are an object.';
  end if;
  v_base := v_base || jsonb_strip_nulls(p_defaults) - 'test_path';

  -- Thousands of jobs differ in their paths and agree in the rest, which is therefore checked once per variant.
  with item as materialized (
    select ordinality - 1 as place, value,
      case when jsonb_typeof(value) = 'object' then value - 'test_path' end as rest
    from jsonb_array_elements(v_jobs) with ordinality
  ), variant as materialized (
    select rest, qgjob.wrong_field(v_base || rest) as field from (select distinct rest from item) as rests
  )
  select place, case when item.rest is null then '' when is_path then field else 'test_path' end as field into v_wrong
  from item
  cross join lateral (
    select coalesce(jsonb_typeof(value -> 'test_path') = 'string' and qgjob.is_test_path(value ->> 'test_path'), false)
  ) as checked (is_path)
  left join variant on variant.rest = item.rest
  where item.rest is null or field is not null or not is_path
  order by place limit 1;
  if found then
    -- A job that came alone has no place worth naming.
    v_of := case when jsonb_array_length(p_jobs) > 1 then format('jobs[%s]', v_wrong.place) else '' end;
    raise exception using errcode = 'QJ422', constraint = 'job_is_well_formed',
      column = trim(v_of || '.' || v_wrong.field, '.'),
      message = ltrim(v_of || ': ', ': ') || case v_wrong.field
        when '' then 'a job is an object.'
        when 'test_path' then 'test_path is a relative path inside the project, of at most 512 characters, without "..",'
          ' backslashes or a leading "/" or "-".'
        when 'target' then 'target is one of emulator, device, browserstack.'
        when 'selector' then 'selector is an object of strings, such as {"platform": "android"}.'
        when 'reset' then 'reset is one of reinstall, clear, restart, none.'
        when 'priority' then 'priority is one of low, normal, high, urgent.'
        when 'retries' then 'retries is a whole number from 0 to 10.'
        when 'timeout_s' then 'timeout_s is a whole number of seconds from 1 to 86400.'
        when 'dedupe' then 'dedupe is true or false.'
        else format('there is no field %s in a job.', to_json(v_wrong.field)) end;
  end if;

  return query
  with item as materialized (
    select ordinality as ordinal, value ->> 'test_path' as test_path, value - 'test_path' as rest
    from jsonb_array_elements(v_jobs) with ordinality
  ), variant as materialized (
    select rests.rest, job.*
    from (select distinct rest from item) as rests, jsonb_to_record(v_base || rests.rest) as job (
      target text, selector jsonb, reset text, priority text, retries smallint, timeout_s integer, dedupe boolean)
  )
  select item.test_path, target, selector, reset,
    (array_position(array['low', 'normal', 'high', 'urgent'], priority) - 1)::smallint, retries, timeout_s, dedupe
  from item join variant using (rest)
  order by ordinal;
end $$;
