-- Refuse what could not be the trace of a token: whoever makes one says its SHA-256 and its beginning.
create or replace function qgjob.check_token(p_hash bytea, p_hint text) returns void language plpgsql immutable as $$
begin
  if coalesce(length(p_hash) <> 32, true) then
    raise exception using errcode = 'QJ422', constraint = 'hash_is_sha256', column = 'hash',
      message = 'The hash of a token is its SHA-256: 32 bytes.';
  elsif coalesce(length(p_hint) not between 1 and 64, true) then
    raise exception using errcode = 'QJ422', constraint = 'hint_is_short', column = 'hint',
      message = 'The hint of a token is its beginning, of at most 64 characters.';
  end if;
end $$;
