-- What the live devices of this target have that come nearest to a selector: with most of its labels as it wants them,
-- then with most of them at all, then what most devices have. Null: there is none for the organisation.
create or replace function qgjob.nearest_labels(p_target text, p_selector jsonb, p_org_id text) returns jsonb
language sql stable as $$
  select labels
  from (
    select labels, count(*) as devices
    from qgjob.live_devices() as device
    where device.target = p_target and qgjob.serves(device.org_ids, p_org_id)
    group by labels
  ) as kind
  order by (select count(*) from jsonb_each(p_selector) as wanted where labels -> wanted.key = wanted.value) desc,
    (select count(*) from jsonb_object_keys(p_selector) as wanted where labels ? wanted) desc, devices desc, labels
  limit 1
$$;
