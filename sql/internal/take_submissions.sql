-- Submit the runs that came as messages on the queue `submissions`: {"org_id", "app_version_id", "jobs", "defaults"?,
-- "labels"?, "idempotency_key"?}. What can never be accepted goes to `dead_letters` with the reason.
create or replace function qgjob.take_submissions() returns integer language plpgsql volatile as $$
declare
  v_message pgmq.message_record;
  v_taken integer := 0;
begin
  for v_message in select * from pgmq.read('submissions', 30, 10) loop
    begin
      perform qgjob.check_submission(v_message.message);
      perform qgjob.submit_run(
        p_org_id => v_message.message ->> 'org_id',
        p_app_version_id => v_message.message ->> 'app_version_id',
        p_jobs => v_message.message -> 'jobs',
        p_defaults => coalesce(v_message.message -> 'defaults', '{}'),
        p_labels => coalesce(v_message.message -> 'labels', '{}'),
        p_idempotency_key => v_message.message ->> 'idempotency_key');
      v_taken := v_taken + 1;
      perform pgmq.delete('submissions', v_message.msg_id);
    exception when others then
      -- Locks, resources and shutdowns pass: the message shows up again in 30 s, five times.
      if sqlstate like any (array['40%', '53%', '55%', '57%']) and v_message.read_ct < 5 then
        continue;
      end if;
      perform pgmq.send('dead_letters', jsonb_build_object('queue', 'submissions', 'reason', sqlerrm,
        'sqlstate', sqlstate, 'message', v_message.message));
      perform pgmq.delete('submissions', v_message.msg_id);
    end;
  end loop;
  return v_taken;
end $$;
