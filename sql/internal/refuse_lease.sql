-- What every write under a lease that is no longer held answers; the worker stops that batch.
create or replace function qgjob.refuse_lease(p_lease bigint) returns void language plpgsql stable as $$
begin
  raise exception using errcode = 'QJ409', constraint = 'lease_is_held',
    message = format('Lease %s is no longer held.', p_lease),
    hint = 'Stop this batch and discard its results: its jobs have been given to others.';
end $$;
