-- Refuse what could not be a content on an account of a device cloud. Part of an index, hence the limits.
create or replace function qgjob.check_upload(p_provider text, p_account text, p_sha256 text) returns void
language plpgsql immutable as $$
declare
  v_field text := case when coalesce(length(p_provider) not between 1 and 255, true) then 'provider'
    when coalesce(length(p_account) not between 1 and 255, true) then 'account' end;
begin
  if v_field is not null then
    raise exception using errcode = 'QJ422', constraint = 'upload_is_named', column = v_field,
      message = format('%s has 1 to 255 characters.', v_field);
  end if;
  perform qgjob.check_sha256(p_sha256);
end $$;
