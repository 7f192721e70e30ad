-- Deliver again what is dead, all of it or one, under the ids it had, so that a receiver that did get it can tell.
create or replace function qgjob.redrive_deliveries(
  p_webhook_id bigint, p_delivery_id bigint default null, p_org_id text default null
) returns table (redriven bigint) language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
declare
  v_now timestamptz := qgjob.now();
  v_dead bigint[];
begin
  perform qgjob.require_webhook(p_webhook_id, p_org_id);
  if exists (select from qgjob.webhook where webhook_id = p_webhook_id and not enabled) then
    raise exception using errcode = 'QJ409', constraint = 'webhook_is_enabled',
      message = format('Webhook %s is disabled: nothing would be sent.', p_webhook_id), hint = 'Enable it first.';
  end if;
  v_dead := array(select delivery_id from qgjob.webhook_delivery
    where webhook_id = p_webhook_id and status = 'dead' and event <> 'webhook.test'
      and (p_delivery_id is null or delivery_id = p_delivery_id)
    order by delivery_id for no key update);
  if v_dead = '{}' and p_delivery_id is not null then
    raise exception using errcode = 'QJ409', constraint = 'only_the_dead_are_redriven',
      message = format('Delivery %s of webhook %s is not dead.', p_delivery_id, p_webhook_id),
      hint = 'What is pending is tried by itself; what was delivered is not sent again, and neither is a test.';
  end if;
  perform pgmq.delete('dead_letters', array(select dead_letter_id from qgjob.webhook_delivery
    where delivery_id = any (v_dead) and dead_letter_id is not null));
  update qgjob.webhook_delivery set
    status = 'pending', tries = 0, next_at = v_now, ended_at = null, dead_letter_id = null
  where delivery_id = any (v_dead);
  return query select cardinality(v_dead)::bigint;
end $$;
