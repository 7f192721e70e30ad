-- What was or is to be delivered to a webhook, newest first. p_cursor: the delivery_id of the last page's last.
-- What was delivered is kept for three days, what is dead for thirty. A webhook.test that did not arrive is shown as
-- failed: it is never sent again, and so not counted or redriven among the dead.
create or replace function qgjob.list_deliveries(
  p_webhook_id bigint, p_status text default null, p_limit integer default 50, p_cursor bigint default null,
  p_delivery_id bigint default null, p_org_id text default null
) returns table (
  delivery_id bigint, webhook_id bigint, message_id text, event text, status text, tries integer, status_code integer,
  error text, duration_s double precision, next_at timestamptz, created_at timestamptz, ended_at timestamptz
) language plpgsql stable set enable_seqscan = off as $$
#variable_conflict use_column
begin
  if not exists (select from qgjob.webhook
      where webhook_id = p_webhook_id and (p_org_id is null or org_id = p_org_id)) then
    raise exception using errcode = 'QJ404', constraint = 'webhook_exists',
      message = format('There is no webhook %s.', p_webhook_id);
  end if;
  return query
  select delivery_id, webhook_id, message_id, event, shown_status, tries, status_code, error, duration_s, next_at,
    created_at, ended_at
  from qgjob.webhook_delivery,
    lateral (select case when status = 'dead' and event = 'webhook.test' then 'failed' else status end as shown_status)
      as shown
  where webhook_id = p_webhook_id and (p_status is null or shown_status = p_status)
    and (p_delivery_id is null or delivery_id = p_delivery_id) and (p_cursor is null or delivery_id < p_cursor)
  order by delivery_id desc
  limit qgjob.page_limit(p_limit);
end $$;
