-- The content of this hash is at this URL of a device cloud from now on. Whoever was late says so, too: each URL works.
create or replace function qgjob.record_upload(p_provider text, p_account text, p_sha256 text, p_url text)
returns void language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp as $$
begin
  perform qgjob.check_upload(p_provider, p_account, p_sha256);
  if coalesce(length(p_url) not between 1 and 2000, true) then
    raise exception using errcode = 'QJ422', constraint = 'upload_has_a_url', column = 'url',
      message = 'url is where the device cloud keeps the file, of at most 2000 characters.';
  end if;
  insert into qgjob.upload (provider, account, sha256, url, uploaded_at)
  values (p_provider, p_account, p_sha256, p_url, qgjob.now())
  on conflict (provider, account, sha256) do update
  set url = excluded.url, uploaded_at = excluded.uploaded_at, claimed_by = null, claimed_at = null;
end $$;
