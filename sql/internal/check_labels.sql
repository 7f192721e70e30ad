-- Refuse labels that are not an object of strings, or more or longer than labels are.
create or replace function qgjob.check_labels(p_labels jsonb, p_of text) returns void language plpgsql immutable as $$
declare
  v_wrong text;
begin
  if jsonb_typeof(p_labels) is distinct from 'object'
      or jsonb_path_exists(p_labels, 'strict $.* ? (@.type() != "string")') then
    raise exception using errcode = 'QJ422', constraint = 'labels_are_strings', column = 'labels',
      message = format('The labels of a %s are an object of strings.', p_of);
  end if;
  v_wrong := qgjob.wrong_label(p_labels);
  if v_wrong is not null then
    raise exception using errcode = 'QJ422', constraint = 'labels_are_few_and_short', column = 'labels',
      message = format('The labels of a %s: %s', p_of, v_wrong);
  end if;
end $$;
