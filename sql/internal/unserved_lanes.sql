-- Lanes whose jobs wait for devices, of a target and perhaps with labels, that no live worker drives; devices in
-- quarantine do not count. head_at: since when the oldest of these jobs waits.
create or replace function qgjob.unserved_lanes() returns table (target text, selector jsonb, head_at timestamptz)
language sql stable as $$
  with kind as materialized (  -- of devices that are there: a lab has thousands of them and few kinds
    select distinct target, labels, org_ids from qgjob.live_devices()
  ), lane as materialized (  -- before their groups are read, which may be many
    select * from qgjob.lane
    where active and not exists (
      select from kind
      where kind.target = lane.target and labels @> selector and qgjob.serves(kind.org_ids, lane.org_id))
  )
  select lane.target, lane.selector, waiting.head_at
  from lane, lateral (
    select min(job_group.head_at) as head_at
    from qgjob.job_group where job_group.lane_id = lane.lane_id and head_priority is not null
  ) as waiting
  where waiting.head_at is not null
$$;
