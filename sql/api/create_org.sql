-- Create an organisation before its first submission does, with settings of its own; see change_org.
create or replace function qgjob.create_org(p_org_id text, p_settings jsonb default '{}')
returns setof qgjob.org_details language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp as $$
begin
  perform qgjob.require_name('org_id', p_org_id);
  perform qgjob.require_org(p_org_id);
  insert into qgjob.org (org_id, created_at) values (p_org_id, qgjob.now()) on conflict do nothing;
  if not found then
    raise exception using errcode = 'QJ409', constraint = 'org_is_created_once', column = 'org_id',
      message = format('There is an organisation %s already.', p_org_id);
  end if;
  return query select * from qgjob.change_org(p_org_id, p_settings);
end $$;
