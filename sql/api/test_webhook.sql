-- Send a webhook.test, also to a webhook that is disabled. It is tried once; list_deliveries says how it went.
create or replace function qgjob.test_webhook(p_webhook_id bigint, p_org_id text default null)
returns table (delivery_id bigint, webhook_id bigint, message_id text) language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
  perform qgjob.require_webhook(p_webhook_id, p_org_id);
  return query
  insert into qgjob.webhook_delivery (webhook_id, message_id, event, payload, next_at, created_at)
  select webhook_id, 'msg_' || gen_random_uuid(), 'webhook.test',
    jsonb_build_object('type', 'webhook.test', 'timestamp', qgjob.now(),
      'data', jsonb_build_object('org_id', org_id, 'webhook_id', webhook_id)),
    qgjob.now(), qgjob.now()
  from qgjob.webhook where webhook_id = p_webhook_id
  returning delivery_id, webhook_id, message_id;
end $$;
