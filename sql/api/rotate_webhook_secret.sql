-- A new secret, in this answer only. For so many hours the old one signs as well, so that receivers can be changed over
-- without missing anything; 0: it is void at once.
create or replace function qgjob.rotate_webhook_secret(
  p_webhook_id bigint, p_overlap_h integer default 24, p_secret text default null, p_org_id text default null
) returns table (webhook_id bigint, secret text, old_secret_until timestamptz) language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  v_now timestamptz := qgjob.now();
begin
  perform qgjob.require_webhook(p_webhook_id, p_org_id);
  if coalesce(p_overlap_h not between 0 and 168, true) then
    raise exception using errcode = 'QJ422', constraint = 'overlap_in_range', column = 'overlap_h',
      message = 'The old secret stays valid for 0 to 168 hours.';
  end if;
  perform qgjob.check_webhook(url, events, format, description, p_secret)
  from qgjob.webhook where webhook_id = p_webhook_id;
  return query
  update qgjob.webhook set
    old_secret = case when p_overlap_h > 0 then secret end,
    old_secret_until = case when p_overlap_h > 0 then v_now + make_interval(hours => p_overlap_h) end,
    secret = coalesce(p_secret, qgjob.new_secret())
  where webhook_id = p_webhook_id
  returning webhook_id, secret, old_secret_until;
end $$;
