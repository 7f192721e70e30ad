-- What of a run's labels keeps its jobs in groups of their own, because its organisation groups by them. Part of an
-- index, hence the limit.
create or replace function qgjob.grouped_by(p_group_by text[], p_labels jsonb) returns jsonb language plpgsql immutable as $$
declare
  v_long text;
begin
  select min(name) into v_long from unnest(p_group_by) as name where length(p_labels ->> name) > 200;
  if v_long is not null then
    raise exception using errcode = 'QJ422', constraint = 'group_label_is_short', column = 'labels',
      message = format('The label %s has at most 200 characters, because this organisation groups by it.', v_long);
  end if;
  return (
    select coalesce(jsonb_object_agg(name, p_labels -> name), '{}') from unnest(p_group_by) as name where p_labels ? name
  );
end $$;
