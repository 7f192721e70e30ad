-- Where a device cloud keeps the content of this hash, for whoever uses this account:
--   url       it is there
--   yours     it is not, and the caller shall upload it, then record_upload or forget_upload
--   neither   another worker is uploading it: ask again soon
-- Two workers never upload the same: the claim holds while its worker lives, a quarter of an hour at most. Clouds keep
-- uploads for 30 days; an older one is uploaded again before they lose it.
create or replace function qgjob.find_upload(p_worker_id bigint, p_provider text, p_account text, p_sha256 text)
returns table (url text, yours boolean) language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  v_now timestamptz := qgjob.now();
  v_oldest timestamptz := v_now - interval '29 days';
begin
  perform qgjob.require_worker(p_worker_id);
  perform qgjob.check_upload(p_provider, p_account, p_sha256);
  return query
  select url, false from qgjob.upload
  where (provider, account, sha256) = (p_provider, p_account, p_sha256) and uploaded_at > v_oldest;
  if found then
    return;
  end if;
  insert into qgjob.upload as known (provider, account, sha256, claimed_by, claimed_at)
  values (p_provider, p_account, p_sha256, p_worker_id, v_now)
  on conflict (provider, account, sha256) do update set claimed_by = p_worker_id, claimed_at = v_now
  where coalesce(known.uploaded_at <= v_oldest, true) and (
    coalesce(known.claimed_by = p_worker_id, true)
    or known.claimed_at < v_now - interval '15 minutes'
    or exists (
      select from qgjob.worker
      where worker_id = known.claimed_by and qgjob.worker_status(worker) in ('lost', 'ended')));
  return query
  select case when uploaded_at > v_oldest then url end, coalesce(claimed_by = p_worker_id, false)
  from qgjob.upload where (provider, account, sha256) = (p_provider, p_account, p_sha256);
end $$;
