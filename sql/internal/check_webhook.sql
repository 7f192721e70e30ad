-- Refuse what could not be a webhook, by the name of the field. Whether an address may be asked at all is decided where it
-- is asked: see qgjob/addresses.py.
create or replace function qgjob.check_webhook(
  p_url text, p_events text[], p_format text, p_description text, p_secret text
) returns void language plpgsql immutable as $$
declare
  v_pattern text;
begin
  if coalesce(length(p_url) > 2000 or p_url !~ '^[a-z][a-z0-9+.-]{0,30}:[!-~]+$', true)
    or p_url ~ '^[^:]+://([^/?#]*@|[/?#]|$)' or p_url ~ '#' then
    raise exception using errcode = 'QJ422', constraint = 'webhook_url_is_usable', column = 'url',
      message = 'The url of a webhook is https://host/path, without user, password or fragment.',
      hint = 'At most 2000 characters, ASCII only: host names in their xn-- form, the rest percent-encoded.';
  elsif coalesce(p_format !~ '^[a-z][a-z0-9_-]{0,63}$', true) then
    raise exception using errcode = 'QJ422', constraint = 'format_is_a_name', column = 'format',
      message = 'format is the name of a notifier: json, slack, teams, or one that the API has installed.';
  elsif coalesce(length(p_description) > 200 or p_description ~ '[\x01-\x1f\x7f]', true) then
    raise exception using errcode = 'QJ422', constraint = 'description_is_short', column = 'description',
      message = 'A description is one line of at most 200 characters.';
  elsif coalesce(cardinality(p_events) not between 1 and 20 or array_ndims(p_events) > 1, true) then
    raise exception using errcode = 'QJ422', constraint = 'events_are_known', column = 'events',
      message = 'A webhook has 1 to 20 events.', hint = 'For example run.finished, or job.* for all of jobs.';
  end if;
  foreach v_pattern in array p_events loop
    if coalesce(length(v_pattern) > 100 or v_pattern !~ '^([a-z_]+|\*|#)(\.([a-z_]+|\*|#))*$', true)
      or not exists (select from unnest(qgjob.event_names()) as event where qgjob.matches_event(v_pattern, event)) then
      raise exception using errcode = 'QJ422', constraint = 'events_are_known', column = 'events',
        message = format('There is no event %s.', coalesce(to_json(left(v_pattern, 100))::text, 'null')),
        hint = 'There are ' || array_to_string(qgjob.event_names(), ', ') || '; * stands for one word, # for any number.';
    end if;
  end loop;
  -- Only what is base64 is decoded: the order of a case is kept.
  if (case when p_secret is null then false
      when p_secret !~ '^whsec_([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$' then true
      else length(decode(substr(p_secret, 7), 'base64')) not between 24 and 64 end) then
    raise exception using errcode = 'QJ422', constraint = 'secret_is_well_formed', column = 'secret',
      message = 'A secret is whsec_ and 24 to 64 bytes in base64.', hint = 'Leave it out to be given one.';
  end if;
end $$;
