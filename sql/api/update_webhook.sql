-- Change what is given and leave the rest. A webhook that is disabled is told of nothing that happens meanwhile; what
-- already waits for it goes on waiting until it is enabled. One that is enabled again, or has another url, is as a new one.
create or replace function qgjob.update_webhook(
  p_webhook_id bigint, p_url text default null, p_events text[] default null, p_format text default null,
  p_description text default null, p_enabled boolean default null, p_org_id text default null
) returns table (
  webhook_id bigint, org_id text, url text, events text[], format text, description text, enabled boolean,
  disabled_reason text, created_at timestamptz, pending bigint, dead bigint, last_at timestamptz,
  last_status_code integer, last_error text
) language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  v_webhook qgjob.webhook;
  v_renewed boolean;
begin
  perform qgjob.require_webhook(p_webhook_id, p_org_id);
  select * into v_webhook from qgjob.webhook where webhook_id = p_webhook_id;
  perform qgjob.check_webhook(coalesce(p_url, v_webhook.url), coalesce(p_events, v_webhook.events),
    coalesce(p_format, v_webhook.format), coalesce(p_description, v_webhook.description), null);
  v_renewed := coalesce(p_url <> v_webhook.url, false) or coalesce(p_enabled and not v_webhook.enabled, false);
  update qgjob.webhook set
    url = coalesce(p_url, url), events = coalesce(p_events, events), format = coalesce(p_format, format),
    description = coalesce(p_description, description), enabled = coalesce(p_enabled, enabled),
    disabled_reason = case when coalesce(p_enabled, enabled) then null
      when enabled then 'disabled by hand' else disabled_reason end,
    slow = slow or v_renewed, renewed_at = case when v_renewed then qgjob.now() else renewed_at end,
    failing_since = case when not v_renewed then failing_since end
  where webhook_id = p_webhook_id;
  perform qgjob.bind_webhooks();
  return query
  select webhook_id, org_id, url, events, format, description, enabled, disabled_reason, created_at, pending, dead,
    last_at, last_status_code, last_error
  from qgjob.list_webhooks(p_webhook_id => p_webhook_id);
end $$;
