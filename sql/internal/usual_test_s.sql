-- Seconds to expect of a test that nothing is known of: the median of the organisation's others, else 30.
create or replace function qgjob.usual_test_s(p_org_id text, p_target text) returns double precision
language sql stable as $$
  select coalesce(percentile_cont(0.5) within group (order by mean_s), 30)
  from qgjob.test_timing where org_id = p_org_id and target = p_target
$$;
