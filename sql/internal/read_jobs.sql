-- The submitted jobs with every default filled in, in their order. The first that breaks a rule is refused by the name
-- of its field.
drop function if exists qgjob.read_jobs(jsonb, jsonb);
create or replace function qgjob.read_jobs(p_jobs jsonb, p_defaults jsonb, out p_requests qgjob.job_request[])
language plpgsql stable as $$
declare
  c_most constant integer := 10000;
  v_base jsonb := '{"target": "emulator", "selector": {}, "reset": "clear", "priority": "normal", "retries": 0,
    "timeout_s": 900, "dedupe": true}';
  v_wrong integer;
  v_job jsonb;
  v_field text;
  v_of text := '';
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

  -- Thousands of jobs differ in their paths and agree in the rest, which is therefore read once per variant. What is null
  -- was not said.
  with item as materialized (
    select ordinality as place, value ->> 'test_path' as test_path,
      coalesce(jsonb_typeof(value -> 'test_path') = 'string' and qgjob.is_test_path(value ->> 'test_path'), false)
        as is_path,
      case when jsonb_typeof(value) = 'object' then value - 'test_path' end as rest
    from jsonb_array_elements(p_jobs) with ordinality
  ), variant as materialized (
    select rest, target, selector, reset,
      (array_position(array['low', 'normal', 'high', 'urgent'], priority) - 1)::smallint as priority,
      retries, timeout_s, dedupe
    from (select rest, v_base || jsonb_strip_nulls(rest) as whole from (
      select distinct rest from item where rest is not null) as said
    ) as said, jsonb_to_record(case when qgjob.wrong_field(whole) is null then whole else '{}' end) as job (
      target text, selector jsonb, reset text, priority text, retries smallint, timeout_s integer, dedupe boolean)
  )
  select array_agg((item.test_path, target, selector, reset, priority, retries, timeout_s, dedupe)::qgjob.job_request
      order by place),
    min(place) filter (where target is null or not is_path)
  into p_requests, v_wrong
  from item left join variant on variant.rest = item.rest;

  if v_wrong is not null then
    v_job := jsonb_strip_nulls(p_jobs -> v_wrong - 1);
    v_field := case when jsonb_typeof(v_job) <> 'object' then ''
      when jsonb_typeof(v_job -> 'test_path') = 'string' and qgjob.is_test_path(v_job ->> 'test_path')
      then qgjob.wrong_field(v_base || (v_job - 'test_path')) else 'test_path' end;
    if jsonb_array_length(p_jobs) > 1 then  -- a job that came alone has no place worth naming
      v_of := format('jobs[%s]', v_wrong - 1);
    end if;
    raise exception using errcode = 'QJ422', constraint = 'job_is_well_formed',
      column = coalesce(nullif(trim(v_of || '.' || v_field, '.'), ''), 'jobs'),
      message = ltrim(v_of || ': ', ': ') || case v_field
        when '' then 'a job is an object.'
        when 'test_path' then 'test_path is a relative path inside the project, such as tests/login.spec.ts, of at most 512'
          ' characters: without ".", ".." or empty parts, backslashes, control characters or a leading "-".'
        when 'target' then 'target is one of emulator, device, browserstack.'
        when 'selector' then coalesce('selector: ' || qgjob.wrong_label((v_base || (v_job - 'test_path')) -> 'selector'),
          'selector is an object of strings, such as {"platform": "android"}, of at most 1000 characters.')
        when 'reset' then 'reset is one of reinstall, clear, restart, none.'
        when 'priority' then 'priority is one of low, normal, high, urgent.'
        when 'retries' then 'retries is a whole number from 0 to 10.'
        when 'timeout_s' then 'timeout_s is a whole number of seconds from 1 to 86400.'
        when 'dedupe' then 'dedupe is true or false.'
        else format('there is no field %s in a job.', to_json(v_field)) end;
  end if;
end $$;
