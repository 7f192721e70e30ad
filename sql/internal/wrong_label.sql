-- What is wrong with the number, the names or the values of labels, or of a selector of them, in words; null when all is
-- well. What was stored before there were these limits stays as it is: it is not asked for again.
create or replace function qgjob.wrong_label(p_labels jsonb) returns text language sql immutable parallel safe as $$
  select case
    when p_labels = '{}' or jsonb_typeof(p_labels) <> 'object' then null
    when (select count(*) from jsonb_object_keys(p_labels)) > 64 then
      format('there are at most 64; these are %s.', (select count(*) from jsonb_object_keys(p_labels)))
    else (
      select case
        when length(name) between 1 and 64 then
          format('the value of %s has at most 255 characters; this one has %s.', to_json(name), length(value))
        when length(name) > 64 then
          format('a name has 1 to 64 characters; %s has %s.', to_json(left(name, 64) || '…'), length(name))
        else 'a name has 1 to 64 characters; one has none.' end
      from jsonb_each_text(p_labels) as label (name, value)
      where length(name) not between 1 and 64 or length(value) > 255
      order by name limit 1)
    end
$$;
