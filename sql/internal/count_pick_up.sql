-- Count a claim by how long the oldest job of its group had waited: one sequence a bucket, see get_metrics.
create or replace function qgjob.count_pick_up(p_waited_s double precision) returns void language plpgsql volatile as $$
begin
  perform nextval(('qgjob.count_pick_up_' || width_bucket(p_waited_s, qgjob.pick_up_bounds()))::regclass);
end $$;
