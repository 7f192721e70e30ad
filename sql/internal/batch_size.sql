-- How many jobs a device takes at once: about half of its share of what is left, so that big groups are taken in few
-- claims and the last jobs one by one, and no device sits on work that another could do.
create or replace function qgjob.batch_size(p_group qgjob.job_group, p_max_jobs integer) returns integer
language sql volatile as $$
  select greatest(1, least(p_max_jobs, ceil(jobs / (2.0 * devices))))::integer
  from (
    select
      (select count(*) from (
        select from qgjob.job where group_id = p_group.group_id and status = 'pending' limit 1000) as bounded
      ) as jobs,
      1 + p_group.devices + (
        select count(*) from qgjob.device where target = p_group.target and waiting and labels @> p_group.selector
      ) as devices
  ) as counted
$$;
