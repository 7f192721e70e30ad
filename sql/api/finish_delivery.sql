-- How a try went: p_error null means that the receiver has it. A failed one is due again after at most 5 s, 25 s, 125 s …
-- 12 h, drawn by chance so that receivers are not met by all at once, or when the receiver asked for it; the eighth is the
-- last. 410 Gone, and five days without a success, disable the webhook. Who comes late, after its minute, is believed only
-- that it was delivered.
create or replace function qgjob.finish_delivery(
  p_delivery_id bigint, p_try_number integer, p_status_code integer default null, p_error text default null,
  p_retry_after_s double precision default null
) returns table (status text, next_at timestamptz) language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
#variable_conflict use_column
declare
  c_tries constant integer := 8;
  c_longest_s constant integer := 43200;
  c_slow constant interval := '2 s';
  v_now timestamptz := qgjob.now();
  v_delivery qgjob.webhook_delivery;
  v_webhook qgjob.webhook;
  v_status text;
  v_disable text;
begin
  -- The webhook before its deliveries, as everybody does.
  select * into v_webhook from qgjob.webhook
  where webhook_id = (select webhook_id from qgjob.webhook_delivery where delivery_id = p_delivery_id)
  for no key update;
  select * into v_delivery from qgjob.webhook_delivery
  where delivery_id = p_delivery_id for no key update;
  if v_delivery.status = 'pending' is not true
    or p_error is not null and (v_delivery.tries <> p_try_number or v_delivery.claimed_at is null) then
    return query select v_delivery.status, v_delivery.next_at where v_delivery.delivery_id is not null;
    return;
  end if;
  v_status := case when p_error is null then 'delivered'
    when v_delivery.tries >= c_tries or v_delivery.event = 'webhook.test' or p_status_code = 410 then 'dead'
    else 'pending' end;
  v_disable := case when p_error is null or not v_webhook.enabled then null
    when p_status_code = 410 then 'it answered 410 Gone'
    when v_status = 'dead' and v_delivery.event <> 'webhook.test'
      and v_webhook.failing_since < v_now - interval '5 days' then 'nothing was accepted for five days' end;

  update qgjob.webhook_delivery set
    status = v_status, status_code = p_status_code, error = left(p_error, 300), claimed_at = null,
    duration_s = extract(epoch from v_now - v_delivery.claimed_at),
    payload = case when v_status <> 'delivered' then payload end,
    ended_at = case when v_status <> 'pending' then v_now end,
    next_at = case when v_status = 'pending' then v_now + make_interval(secs => greatest(
      random() * least(c_longest_s, 5 * 5 ^ (v_delivery.tries - 1)),
      case when p_retry_after_s > 0 then least(c_longest_s, p_retry_after_s) end)) end,
    dead_letter_id = case when v_status = 'dead' and event <> 'webhook.test' then (
      select letter from pgmq.send('dead_letters', jsonb_build_object('queue', 'webhooks', 'reason', left(p_error, 300),
        'webhook_id', webhook_id, 'delivery_id', delivery_id, 'message_id', message_id, 'message', payload)) as letter) end
  where delivery_id = p_delivery_id;

  update qgjob.webhook set
    -- Late, or by what it was before it was renewed: then nothing is known of how quick it is.
    slow = p_error is not null or coalesce(v_now - v_delivery.claimed_at > c_slow, true)
      or slow and coalesce(v_delivery.claimed_at <= renewed_at, false),
    failing_since = case when p_error is not null then coalesce(failing_since, v_now) end,
    last_at = v_now, last_status_code = p_status_code, last_error = left(p_error, 300),
    enabled = enabled and v_disable is null, disabled_reason = coalesce(v_disable, disabled_reason)
  where webhook_id = v_webhook.webhook_id;
  if v_disable is not null then
    perform qgjob.bind_webhooks();
  end if;
  return query select status, next_at from qgjob.webhook_delivery where delivery_id = p_delivery_id;
end $$;
