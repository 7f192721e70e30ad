-- How many jobs a device takes at once: the longest first, together its share of what is left, as if all devices that could
-- come to this group did, and no less than an install's time, for starting a batch costs something, too. So a group is
-- done in few batches, the last of them small; what turns out to be too much an idle device takes back. Where there is no
-- other, it takes all. No more devices come than the organisation may have, and devices of a cloud that serve the group
-- already come for no more of it: each is wiped after its batch. p_max_s: more work than that does not fit in a session.
drop function if exists qgjob.batch_size(qgjob.job_group, integer);
create or replace function qgjob.batch_size(p_group qgjob.job_group, p_max_jobs integer, p_max_s double precision)
returns integer language plpgsql volatile as $$
declare
  v_fitting bigint;
  v_helpers bigint;
  v_most_devices integer := (select max_devices from qgjob.org where org_id = p_group.org_id);
  v_remaining_s double precision;
  v_most_s double precision := coalesce(p_max_s, 'infinity');
begin
  select least(v_most_devices, count(*)), least(v_most_devices, count(*) filter (where not (
      qgjob.is_wiped(target) and exists (
        select from qgjob.batch
        where batch.device_id = device.device_id and ended_at is null and group_id = p_group.group_id))))
  into v_fitting, v_helpers
  from qgjob.devices_for(p_group) as device;
  if v_fitting > 1 then
    -- As much as full batches for all of them would need, or the batches of a big group get small where many help.
    v_remaining_s := qgjob.remaining_s(p_group.group_id, least(2000, greatest(500, v_fitting * p_max_jobs))::integer);
    v_most_s := least(v_most_s,
      greatest(qgjob.install_s(p_group.org_id, p_group.target), v_remaining_s / greatest(1, v_helpers)));
  elsif v_most_s = 'infinity' then
    return p_max_jobs;
  end if;
  return greatest(1, (
    select count(*)
    from (
      select sum(predicted_s) over (order by priority desc, failed_before desc, predicted_s desc, job_id) as until_s
      from (
        select * from qgjob.job where group_id = p_group.group_id and status = 'pending'
        order by priority desc, failed_before desc, predicted_s desc, job_id limit p_max_jobs
      ) as first
    ) as taken
    where until_s <= v_most_s));
end $$;
