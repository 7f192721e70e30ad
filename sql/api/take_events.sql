-- Turn the events that wait on the queue `webhooks` into deliveries, one for each enabled webhook that wants them and was
-- there when they happened. They leave the queue in the same transaction, so each is taken exactly once, whoever dies.
-- Where `taken` is not 0 there may be more: call again.
create or replace function qgjob.take_events(p_limit integer default 100)
returns table (taken integer) language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
declare
  v_now timestamptz := qgjob.now();
  v_messages pgmq.message_record[];
begin
  v_messages := array(select popped::pgmq.message_record from pgmq.pop('webhooks', greatest(0, p_limit)) as popped);
  if v_messages <> '{}' then
    with wanted as materialized (
      -- Locked against being removed meanwhile; what was removed already is not found.
      select event.msg_id, event.message, webhook.webhook_id
      from unnest(v_messages) as event
      join qgjob.webhook on webhook.org_id = event.message ->> 'org_id'
      where webhook.enabled and webhook.created_at <= event.enqueued_at
        and exists (select from unnest(webhook.events) as pattern
          where qgjob.matches_event(pattern, event.message ->> 'event'))
      for key share of webhook
    ), told as materialized (
      select msg_id, qgjob.webhook_payload(message) as payload
      from (select distinct on (msg_id) msg_id, message from wanted) as once
    )
    insert into qgjob.webhook_delivery (webhook_id, message_id, event, payload, next_at, created_at)
    select webhook_id, 'msg_' || gen_random_uuid(), message ->> 'event', payload, v_now, v_now
    from wanted join told using (msg_id)
    order by msg_id, webhook_id;
  end if;
  return query select cardinality(v_messages);
end $$;
