-- An object as a row of p_base's type, which gives what the object does not name. A value that is not of its field's type
-- is refused by the name of the field, which p_of comes before. Which it is gets looked for only once it has failed.
create or replace function qgjob.read_record(p_base anyelement, p_object jsonb, p_of text default '')
returns anyelement language plpgsql stable as $$
declare
  v_field record;
begin
  return jsonb_populate_record(p_base, p_object);
exception when data_exception then
  for v_field in
    select attname as name, format_type(atttypid, null) as type
    from pg_type join pg_attribute on attrelid = typrelid
    where pg_type.oid = pg_typeof(p_base) and attnum > 0 and p_object ? attname
    order by attnum
  loop
    begin
      perform jsonb_populate_record(p_base, jsonb_build_object(v_field.name, p_object -> v_field.name));
    exception when data_exception then
      raise exception using errcode = 'QJ422', constraint = 'field_has_its_type', column = p_of || v_field.name,
        message = format('%s is %s.', p_of || v_field.name, case v_field.type
          when 'smallint' then 'a whole number, at most 32767'
          when 'integer' then 'a whole number, at most 2147483647'
          when 'bigint' then 'a whole number, at most 9223372036854775807'
          when 'real' then 'a number'
          when 'boolean' then 'true or false'
          when 'text[]' then 'a list of texts'
          when 'timestamp with time zone' then 'a time, such as 2027-01-31T02:00:00Z'
          else 'of the type ' || v_field.type end);
    end;
  end loop;
  raise;
end $$;
