-- Lock a webhook against other changes, or refuse because there is none, or it belongs to another organisation.
create or replace function qgjob.require_webhook(p_webhook_id bigint, p_org_id text) returns void
language plpgsql volatile as $$
begin
  perform from qgjob.webhook
  where webhook_id = p_webhook_id and (p_org_id is null or org_id = p_org_id) and qgjob.may_see(org_id) for no key update;
  if not found then
    raise exception using errcode = 'QJ404', constraint = 'webhook_exists',
      message = format('There is no webhook %s.', p_webhook_id);
  end if;
end $$;
