-- How many of so many attempts of a batch needed no installation of their own: all but one where it installed the build;
-- none where its device could not be prepared, for then nothing ran.
create or replace function qgjob.installs_avoided(p_batch qgjob.batch, p_attempts bigint) returns bigint
language sql immutable as $$
  select case when p_batch.end_reason in ('unprepared', 'unfetched', 'refused') then 0
    else greatest(0, p_attempts - (p_batch.installed_at is not null)::integer) end
$$;
