-- Refuse labels that are not an object of strings.
create or replace function qgjob.check_labels(p_labels jsonb, p_of text) returns void language plpgsql immutable as $$
begin
  if jsonb_typeof(p_labels) is distinct from 'object'
      or jsonb_path_exists(p_labels, 'strict $.* ? (@.type() != "string")') then
    raise exception using errcode = 'QJ422', constraint = 'labels_are_strings', column = 'labels',
      message = format('The labels of a %s are an object of strings.', p_of);
  end if;
end $$;
