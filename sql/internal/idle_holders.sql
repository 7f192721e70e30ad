-- How many idle devices hold the group's build and take its jobs: each goes on with it as soon as it asks, so that another
-- one would install for nothing. They are not waited for longer than an install takes, for they may never ask.
create or replace function qgjob.idle_holders(p_group qgjob.job_group) returns bigint language sql stable
set enable_seqscan = off set enable_mergejoin = off as $$
  select case when count(*) > 0
    and p_group.head_at between  -- or the clock went back
      qgjob.now() - make_interval(secs => qgjob.install_s(p_group.org_id, p_group.target)) and qgjob.now()
    then count(*) else 0 end
  from qgjob.devices_for(p_group)
  where installed_build = p_group.build and not qgjob.is_busy(device_id)
$$;
