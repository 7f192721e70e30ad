-- Refuse settings of an organisation that mean nothing. p_changes: what somebody wants to set, a null being no limit.
create or replace function qgjob.check_org(p_org qgjob.org, p_changes jsonb) returns void language plpgsql immutable as $$
declare
  v_field text;
begin
  select min(name) into v_field from jsonb_object_keys(p_changes) as name
  where name not in ('weight', 'max_devices', 'max_pending_jobs', 'requests_per_minute', 'keep_days', 'group_by');
  if v_field is not null then
    raise exception using errcode = 'QJ422', constraint = 'org_setting_is_known', column = coalesce(nullif(v_field, ''), 'changes'),
      message = format('An organisation has no setting %s.', to_json(v_field)),
      hint = 'There are weight, max_devices, max_pending_jobs, requests_per_minute, keep_days and group_by.';
  end if;
  if p_org.weight is null or p_org.weight not between 0.001 and 1000 then
    raise exception using errcode = 'QJ422', constraint = 'weight_in_range', column = 'weight',
      message = 'The weight of an organisation is a number from 0.001 to 1000.';
  end if;
  v_field := case when p_org.max_devices < 1 then 'max_devices' when p_org.max_pending_jobs < 1 then 'max_pending_jobs'
    when p_org.requests_per_minute < 1 then 'requests_per_minute' end;
  if v_field is not null then
    raise exception using errcode = 'QJ422', constraint = 'quota_is_positive', column = v_field,
      message = format('%s is at least 1, or null for no limit.', v_field);
  end if;
  if p_org.keep_days not between 1 and 36500 then
    raise exception using errcode = 'QJ422', constraint = 'keep_days_in_range', column = 'keep_days',
      message = 'Results are kept for 1 to 36500 days, or for ever, which is null.';
  end if;
  if p_org.group_by is null or cardinality(p_org.group_by) > 4 or array_ndims(p_org.group_by) > 1 or exists (
    select from unnest(p_org.group_by) as name where name is null or length(name) not between 1 and 64
  ) or (select count(distinct name) from unnest(p_org.group_by) as name) < cardinality(p_org.group_by) then
    raise exception using errcode = 'QJ422', constraint = 'group_by_is_labels', column = 'group_by',
      message = 'group_by is a list of at most four different labels of runs, such as repo or tag.';
  end if;
end $$;
