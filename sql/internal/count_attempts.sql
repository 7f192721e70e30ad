-- So many attempts of this batch are about to be recorded: count them, and those of them that needed no installation of
-- their own. For monitoring only.
create or replace function qgjob.count_attempts(p_lease bigint, p_attempts integer) returns void
language plpgsql volatile as $$
begin
  perform nextval('qgjob.count_attempts') from generate_series(1, p_attempts);
  if exists (select from qgjob.batch where batch_id = p_lease and installed_at is not null)
      and not exists (select from qgjob.attempt where batch_id = p_lease) then
    p_attempts := p_attempts - 1;
  end if;
  perform nextval('qgjob.count_avoided') from generate_series(1, p_attempts);
end $$;
