-- So many jobs have just been created for an organisation that has a quota: refuse them if it is exceeded. The count is
-- an upper bound, for claims do not lower it, and is put right only when it reaches the quota, so that a submission does
-- not count the backlog, or when jobs have come back (raise_heads). Its row is the last lock that a submission takes;
-- holding it, no two are accepted for one room.
create or replace function qgjob.count_submitted(p_org_id text, p_most integer, p_new integer)
returns void language plpgsql volatile as $$
declare
  v_pending integer;
begin
  if p_new = 0 then
    return;
  end if;
  insert into qgjob.pending_count as counted (org_id, at_most) values (p_org_id, p_most + 1)  -- unknown as yet
  on conflict (org_id) do update set at_most = counted.at_most + p_new
  returning at_most into v_pending;
  if v_pending <= p_most then
    return;
  end if;
  v_pending := qgjob.pending_jobs(p_org_id, p_most + 1);  -- these are among them
  if v_pending > p_most then
    perform qgjob.refuse_over_quota(p_org_id, p_most, v_pending - p_new, p_new);
  end if;
  update qgjob.pending_count set at_most = v_pending where org_id = p_org_id;
end $$;
