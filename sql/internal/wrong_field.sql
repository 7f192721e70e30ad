-- The field that breaks a rule in what a submitted job says beside its test_path (defaults already filled in); null when
-- all is well.
create or replace function qgjob.wrong_field(p_job jsonb) returns text language sql immutable parallel safe as $$
  select case
    when p_job ->> 'target' <> all (qgjob.targets()) then 'target'
    when p_job -> 'selector' <> '{}' and (
      jsonb_typeof(p_job -> 'selector') <> 'object'
      or jsonb_path_exists(p_job -> 'selector', 'strict $.* ? (@.type() != "string")')
      or length(p_job ->> 'selector') > 1000) then 'selector'
    when p_job -> 'selector' <> '{}' and qgjob.wrong_label(p_job -> 'selector') is not null then 'selector'
    when p_job ->> 'reset' not in ('reinstall', 'clear', 'restart', 'none') then 'reset'
    when p_job ->> 'priority' not in ('low', 'normal', 'high', 'urgent') then 'priority'
    when jsonb_typeof(p_job -> 'retries') <> 'number'
      or p_job ->> 'retries' !~ '^([0-9]|10)$' then 'retries'
    when jsonb_typeof(p_job -> 'timeout_s') <> 'number'
      or p_job ->> 'timeout_s' !~ '^[1-9][0-9]{0,4}$' or (p_job ->> 'timeout_s')::integer > 86400 then 'timeout_s'
    when jsonb_typeof(p_job -> 'dedupe') <> 'boolean' then 'dedupe'
    when p_job - array['target', 'selector', 'reset', 'priority', 'retries', 'timeout_s', 'dedupe'] <> '{}'
      then (select min(name) from jsonb_object_keys(p_job) as name
            where name not in ('target', 'selector', 'reset', 'priority', 'retries', 'timeout_s', 'dedupe'))
  end
$$;
