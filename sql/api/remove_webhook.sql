-- Remove a webhook with everything that waits for it and its dead letters.
create or replace function qgjob.remove_webhook(p_webhook_id bigint, p_org_id text default null)
returns table (webhook_id bigint, discarded bigint) language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
#variable_conflict use_column
declare
  v_discarded bigint;
begin
  perform qgjob.require_webhook(p_webhook_id, p_org_id);
  select count(*) into v_discarded from qgjob.webhook_delivery
  where webhook_id = p_webhook_id and status = 'pending';
  perform pgmq.delete('dead_letters', array(select dead_letter_id from qgjob.webhook_delivery
    where webhook_id = p_webhook_id and status = 'dead' and dead_letter_id is not null));
  delete from qgjob.webhook where webhook_id = p_webhook_id;
  perform qgjob.bind_webhooks();
  return query select p_webhook_id, v_discarded;
end $$;
