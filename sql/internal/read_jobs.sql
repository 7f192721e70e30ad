-- The submitted jobs with every default filled in, in their order. The first that breaks a rule is refused by the name
-- of its field.
create or replace function qgjob.read_jobs(p_jobs jsonb, p_defaults jsonb) returns setof qgjob.job_request
language plpgsql stable as $$
declare
  c_most constant integer := 10000;
  v_of text;
  v_base jsonb := '{"target": "emulator", "selector": {}, "reset": "clear", "priority": "normal", "retries": 0,
    "timeout_s": 900, "dedupe": true}';
  v_field text;
  v_place bigint;
begin
  if jsonb_typeof(p_jobs) is distinct from 'array' or jsonb_array_length(p_jobs) not between 1 and c_most then
    raise exception using errcode = 'QJ422', constraint = 'jobs_are_a_list', column = 'jobs',
      message = format('A run has 1 to %s jobs.', c_most), hint = 'Submit a larger set as several runs.';
  end if;
  if jsonb_typeof(p_defaults) is distinct from 'object' then
    raise exception using errcode = 'QJ422', constraint = 'defaults_are_an_object', column = 'defaults',
      message = 'The defaults of a run are an object.';
  end if;
  v_base := v_base || jsonb_strip_nulls(p_defaults);

  select item.place, qgjob.wrong_field(item.job) into v_place, v_field
  from (
    select ordinality - 1 as place, v_base || value as job
    from jsonb_array_elements(jsonb_strip_nulls(p_jobs)) with ordinality
    offset 0
  ) as item
  where qgjob.wrong_field(item.job) is not null
  order by item.place limit 1;
  if found then
    -- A job that came alone has no place worth naming.
    v_of := case when jsonb_array_length(p_jobs) > 1 then format('jobs[%s]', v_place) else '' end;
    raise exception using errcode = 'QJ422', constraint = 'job_is_well_formed',
      column = trim(v_of || '.' || v_field, '.'),
      message = ltrim(v_of || ': ', ': ') || case v_field
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
        else format('there is no field %s in a job.', to_json(v_field)) end;
  end if;

  return query
  select job.test_path, job.target, job.selector, job.reset,
    (array_position(array['low', 'normal', 'high', 'urgent'], job.priority) - 1)::smallint,
    job.retries, job.timeout_s, job.dedupe
  from jsonb_array_elements(jsonb_strip_nulls(p_jobs)) with ordinality as item,
    jsonb_to_record(v_base || item.value) as job (
      test_path text, target text, selector jsonb, reset text, priority text, retries smallint, timeout_s integer,
      dedupe boolean)
  order by item.ordinality;
end $$;
