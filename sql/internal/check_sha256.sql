-- Refuse what is not the hash of a file.
create or replace function qgjob.check_sha256(p_sha256 text) returns void language plpgsql immutable as $$
begin
  if coalesce(p_sha256 !~ '^[0-9a-f]{64}$', true) then
    raise exception using errcode = 'QJ422', constraint = 'sha256_is_hex', column = 'sha256',
      message = 'sha256 is the SHA-256 of the file: 64 digits from 0 to 9 and a to f.';
  end if;
end $$;
