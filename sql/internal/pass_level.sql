-- The pass of those whose turn it is on devices of this target that fit the selector: the lowest of the lanes that wait for
-- some of them and were served lately, by the clock of the last service, and of the one that was served last. So a pause in
-- which nothing waits changes nothing, and neither does a lane that no device can serve. Lanes that cannot use every such
-- device, because they wait for rarer ones or their organisation is limited, fall behind without missing anything: they
-- count where there are no others, or whoever comes would have all devices until it is as far behind. Null: nothing has
-- been served yet.
drop function if exists qgjob.pass_level(text);
create or replace function qgjob.pass_level(p_target text, p_selector jsonb) returns double precision
language sql volatile as $$
  with latest as materialized (
    select served_at as at from qgjob.lane
    where target = p_target and served_at is not null and qgjob.may_compete(selector, p_selector)
    order by served_at desc limit 1
  )
  select coalesce(min(pass) filter (where p_selector @> selector and max_devices is null), min(pass))
  from (
    select pass, selector, org_id from qgjob.lane, latest
    where target = p_target and served_at >= latest.at - interval '10 minutes' and (active or served_at = latest.at)
      and qgjob.may_compete(selector, p_selector)
    order by served_at desc limit 100
  ) as lately join qgjob.org using (org_id)
$$;
