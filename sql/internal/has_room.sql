-- May the organisation have one more device?
create or replace function qgjob.has_room(p_org_id text) returns boolean language sql volatile as $$
  select max_devices is null
    or max_devices > (select count(*) from qgjob.batch where batch.org_id = p_org_id and ended_at is null)
  from qgjob.org where org_id = p_org_id
$$;
