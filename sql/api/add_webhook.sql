-- Tell a url of these events from now on. The secret that signs is in this answer and in no other. With an idempotency key
-- the same request again is answered as the first time.
create or replace function qgjob.add_webhook(
  p_org_id text, p_url text, p_events text[] default '{run.finished}', p_format text default 'json',
  p_description text default '', p_secret text default null, p_idempotency_key text default null
) returns table (
  webhook_id bigint, org_id text, url text, events text[], format text, description text, enabled boolean, secret text,
  created_at timestamptz
) language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  c_most constant integer := 50;
  v_now timestamptz := qgjob.now();
  v_webhook qgjob.webhook;
begin
  perform qgjob.require_name('org_id', p_org_id);
  perform qgjob.require_org(p_org_id);
  perform qgjob.check_webhook(p_url, p_events, p_format, p_description, p_secret);
  if length(p_idempotency_key) not between 1 and 255 then
    raise exception using errcode = 'QJ422', constraint = 'idempotency_key_is_short', column = 'idempotency_key',
      message = 'An idempotency key is 1 to 255 characters.';
  end if;
  perform qgjob.make_orgs(array[p_org_id]);
  -- One after the other within an organisation: for the key, and for the count.
  perform pg_advisory_xact_lock(hashtextextended('qgjob.add_webhook ' || p_org_id, 0));
  select * into v_webhook from qgjob.webhook where org_id = p_org_id and idempotency_key = p_idempotency_key;
  if not found then
    if (select count(*) from qgjob.webhook where org_id = p_org_id) >= c_most then
      raise exception using errcode = 'QJ409', constraint = 'webhooks_are_few',
        message = format('%s has %s webhooks already, and may not have more.', p_org_id, c_most),
        hint = 'Remove one, or let one have more events.';
    end if;
    insert into qgjob.webhook
      (org_id, url, events, format, description, secret, idempotency_key, created_at)
    values (p_org_id, p_url, p_events, p_format, p_description, coalesce(p_secret, qgjob.new_secret()),
      p_idempotency_key, v_now)
    returning * into v_webhook;
    perform qgjob.bind_webhooks();
  elsif (v_webhook.url, v_webhook.events, v_webhook.format, v_webhook.description)
      is distinct from (p_url, p_events, p_format, p_description) then
    raise exception using errcode = 'QJ409', constraint = 'idempotency_key_is_used_once',
      message = 'This idempotency key was used for another webhook.';
  end if;
  return query select v_webhook.webhook_id, v_webhook.org_id, qgjob.shown_url(v_webhook.url, v_webhook.format),
    v_webhook.events, v_webhook.format, v_webhook.description, v_webhook.enabled, v_webhook.secret,
    v_webhook.created_at;
end $$;
