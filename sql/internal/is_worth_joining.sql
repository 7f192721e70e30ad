-- Is a further device's share of the group's work worth an install? What is pending on a device cloud needs another session
-- in any case, for the devices that serve the group are wiped before they could go on.
create or replace function qgjob.is_worth_joining(p_group qgjob.job_group) returns boolean language sql stable as $$
  select qgjob.is_wiped(p_group.target)
    or qgjob.remaining_s(p_group.group_id) / p_group.devices > qgjob.install_s(p_group.org_id, p_group.target)
$$;
