-- The device cloud no longer knows this URL; or, without one, the worker gives up the upload that it has claimed. What
-- others have uploaded or claimed meanwhile stays.
create or replace function qgjob.forget_upload(
  p_worker_id bigint, p_provider text, p_account text, p_sha256 text, p_url text default null
) returns void language sql volatile security definer
set search_path = pg_catalog, pg_temp as $$
  delete from qgjob.upload
  where (provider, account, sha256) = (p_provider, p_account, p_sha256)
    and (url = p_url and claimed_by is null or p_url is null and claimed_by = p_worker_id)
$$;
