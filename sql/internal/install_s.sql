-- Seconds that installing a build of this organisation takes on such a device: as measured, else as measured for others,
-- else 30.
create or replace function qgjob.install_s(p_org_id text, p_target text) returns double precision language sql stable as $$
  select coalesce(
    (select mean_s from qgjob.install_timing where org_id = p_org_id and target = p_target),
    (select percentile_cont(0.5) within group (order by mean_s) from qgjob.install_timing where target = p_target),
    30)
$$;
