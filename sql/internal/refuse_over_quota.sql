-- So many new jobs are more than the organisation's quota leaves room for.
create or replace function qgjob.refuse_over_quota(p_org_id text, p_most integer, p_pending integer, p_new integer)
returns void language plpgsql immutable as $$
begin
  if p_new > p_most then
    raise exception using errcode = 'QJ422', constraint = 'run_fits_the_quota', column = 'jobs',
      message = format('%s may have %s pending jobs, and this submission alone has %s.', p_org_id, p_most, p_new),
      hint = 'Submit it in parts, or ask an admin for more: max_pending_jobs of the organisation.';
  end if;
  raise exception using errcode = 'QJ429', constraint = 'pending_jobs_are_limited',
    message = format('%s may have %s pending jobs: %s are pending, and these would be %s more.',
      p_org_id, p_most, p_pending, p_new),
    hint = 'Wait until some have been taken by devices, cancel what nobody needs, or ask an admin for more.';
end $$;
