-- These organisations, as far as they are not there yet. Until the end of the transaction nobody removes them: who is just
-- removing one is waited for, and it begins anew.
create or replace function qgjob.make_orgs(p_org_ids text[]) returns void language plpgsql volatile as $$
declare
  v_there integer;
begin
  loop
    insert into qgjob.org (org_id, created_at)
    select distinct org_id, qgjob.now() from unnest(p_org_ids) as org_id order by org_id on conflict do nothing;
    perform from qgjob.org where org_id = any (p_org_ids) order by org_id for key share;
    get diagnostics v_there = row_count;
    exit when v_there = (select count(distinct org_id) from unnest(p_org_ids) as org_id);
  end loop;
end $$;
