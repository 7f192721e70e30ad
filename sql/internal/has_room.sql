-- May the organisation have one more device? p_kept: one that it has already is not counted, for it stays.
drop function if exists qgjob.has_room(text);
create or replace function qgjob.has_room(p_org_id text, p_kept integer default 0) returns boolean language sql volatile as $$
  select max_devices is null
    or max_devices + p_kept > (select count(*) from qgjob.batch where batch.org_id = p_org_id and ended_at is null)
  from qgjob.org where org_id = p_org_id
$$;
