-- Deliveries that are due, for a process that has room for p_limit of them, p_slow of which may go to receivers that fail,
-- are slow, or have not been quick yet, and p_share to one organisation, with those on their way that p_orgs names the
-- organisations of. A receiver is asked for at most four at a time, a slow one for one, by all processes together: one
-- that hangs holds up nobody else. Who claims has a minute; what it has not finished by then is claimed again, under the
-- same message_id. Looks at webhooks that have something waiting, not at how much.
drop function if exists qgjob.claim_deliveries(integer, integer, text[]);
create or replace function qgjob.claim_deliveries(
  p_limit integer, p_slow integer, p_formats text[], p_share integer default null, p_orgs text[] default '{}'
) returns table (
  delivery_id bigint, try_number integer, webhook_id bigint, org_id text, url text, format text, secrets text[],
  message_id text, payload jsonb, slow boolean, claimed_at timestamptz
) language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
declare
  c_at_once constant integer := 4;
  v_now timestamptz := qgjob.now();
  v_webhook qgjob.webhook;
  v_share integer;
  v_room integer;
  v_claimed integer;
begin
  for v_webhook in
    with recursive waiting as (
      (select webhook_id from qgjob.webhook_delivery where status = 'pending' order by webhook_id limit 1)
      union all
      select (select following.webhook_id from qgjob.webhook_delivery as following
        where following.status = 'pending' and following.webhook_id > waiting.webhook_id
        order by following.webhook_id limit 1)
      from waiting where waiting.webhook_id is not null
    )
    select webhook.* from waiting join qgjob.webhook using (webhook_id)
    where format = any (p_formats) and exists (select from qgjob.webhook_delivery as delivery
      where delivery.webhook_id = webhook.webhook_id and delivery.status = 'pending' and delivery.next_at <= v_now)
    order by slow, served_at nulls first, webhook_id
  loop
    exit when p_limit <= 0;
    v_share := p_share - (select count(*) from unnest(p_orgs) as org_id where org_id = v_webhook.org_id);
    continue when v_share <= 0;
    -- Whoever is at this receiver now is enough. Under the lock, what others have claimed can be counted.
    select * into v_webhook from qgjob.webhook
    where webhook_id = v_webhook.webhook_id for no key update skip locked;
    continue when not found or v_webhook.slow and p_slow <= 0;
    v_room := least(case when v_webhook.slow then 1 else c_at_once end - (
      select count(*) from qgjob.webhook_delivery
      where webhook_id = v_webhook.webhook_id and claimed_at is not null and next_at > v_now), p_limit, v_share);
    continue when v_room <= 0;

    return query
    update qgjob.webhook_delivery as delivery set
      tries = tries + 1, claimed_at = v_now, next_at = v_now + interval '60 s'
    where delivery.delivery_id in (
      select due.delivery_id from qgjob.webhook_delivery as due
      where due.webhook_id = v_webhook.webhook_id and due.status = 'pending' and due.next_at <= v_now
        and (v_webhook.enabled or due.event = 'webhook.test')
      order by due.next_at limit v_room for update skip locked)
    returning delivery.delivery_id, delivery.tries, v_webhook.webhook_id, v_webhook.org_id, v_webhook.url,
      v_webhook.format,
      array_remove(array[v_webhook.secret,
        case when v_webhook.old_secret_until > v_now then v_webhook.old_secret end], null),
      delivery.message_id, delivery.payload, v_webhook.slow, v_now;
    get diagnostics v_claimed = row_count;
    p_limit := p_limit - v_claimed;
    p_orgs := p_orgs || array_fill(v_webhook.org_id, array[v_claimed]);
    if v_webhook.slow then
      p_slow := p_slow - v_claimed;
    end if;
    if v_claimed > 0 then
      update qgjob.webhook set served_at = v_now where webhook_id = v_webhook.webhook_id;
    end if;
  end loop;
end $$;
