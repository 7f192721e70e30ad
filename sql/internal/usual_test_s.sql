-- Seconds to expect of a test that nothing is known of: the median of the organisation's others, else 30. Of many only
-- some are looked at, so that submitting costs the same for an organisation with a hundred thousand tests.
create or replace function qgjob.usual_test_s(p_org_id text, p_target text) returns double precision
language sql stable as $$
  select coalesce(percentile_cont(0.5) within group (order by mean_s), 30)
  from (
    select mean_s from qgjob.test_timing where org_id = p_org_id and target = p_target limit 500
  ) as sample
$$;
