-- Seconds for which a device may stay on a build of this organisation while others wait: 20 installs' time, but half an hour
-- at most, whatever the installations of somebody take, and five seconds at least.
create or replace function qgjob.stay_s(p_org_id text, p_target text) returns double precision language sql stable as $$
  select greatest(5, least(1800, 20 * qgjob.install_s(p_org_id, p_target)))
$$;
