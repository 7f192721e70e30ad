-- Refuse a value that is not a name, with the field it came in.
create or replace function qgjob.require_name(p_field text, p_value text) returns void language plpgsql immutable as $$
begin
  if not qgjob.is_name(p_value) then
    raise exception using errcode = 'QJ422', constraint = p_field || '_is_a_name', column = p_field,
      message = format('%s is 1 to 128 letters, digits, ".", "_", "+" or "-", and starts with a letter or digit.', p_field);
  end if;
end $$;
