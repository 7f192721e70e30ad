-- Webhooks, newest first, with how their last delivery went. Without secrets, and with urls that may be shown.
create or replace function qgjob.list_webhooks(p_org_id text default null, p_webhook_id bigint default null)
returns table (
  webhook_id bigint, org_id text, url text, events text[], format text, description text, enabled boolean,
  disabled_reason text, created_at timestamptz, pending bigint, dead bigint, last_at timestamptz,
  last_status_code integer, last_error text
) language sql stable set enable_seqscan = off as $$
  select webhook_id, org_id, qgjob.shown_url(url, format), events, format, description, enabled, disabled_reason,
    created_at,
    (select count(*) from qgjob.webhook_delivery as delivery
     where delivery.webhook_id = webhook.webhook_id and status = 'pending'),
    (select count(*) from qgjob.webhook_delivery as delivery
     where delivery.webhook_id = webhook.webhook_id and status = 'dead' and event <> 'webhook.test'),
    last_at, last_status_code, last_error
  from qgjob.webhook
  where (p_org_id is null or org_id = p_org_id) and (p_webhook_id is null or webhook_id = p_webhook_id)
  order by webhook_id desc
$$;
