-- A webhook's url as it may be shown. That of a chat is a credential as a whole; of others at most the query is.
create or replace function qgjob.shown_url(p_url text, p_format text) returns text
language sql immutable parallel safe as $$
  select case when p_format = 'json' then regexp_replace(p_url, '\?.*$', '?…')
    else regexp_replace(p_url, '^([^:]+://[^/?]*).+$', '\1/…') end
$$;
