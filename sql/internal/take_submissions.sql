-- Submit the run that came as the oldest message on the queue `submissions`: {"org_id", "app_version_id", "jobs",
-- "defaults"?, "labels"?, "idempotency_key"?}. What can never be accepted goes to `dead_letters` with the reason.
-- One message a transaction: two submissions in one would take their locks in no order. The number of messages dealt with.
create or replace function qgjob.take_submissions() returns integer language plpgsql volatile as $$
declare
  v_message pgmq.message_record;
begin
  select * into v_message from pgmq.read('submissions', 30, 1);
  if v_message.msg_id is null then
    return 0;
  end if;
  begin
    perform qgjob.check_submission(v_message.message);
    perform qgjob.submit_run(
      p_org_id => v_message.message ->> 'org_id',
      p_app_version_id => v_message.message ->> 'app_version_id',
      p_jobs => v_message.message -> 'jobs',
      p_defaults => coalesce(v_message.message -> 'defaults', '{}'),
      p_labels => coalesce(v_message.message -> 'labels', '{}'),
      p_idempotency_key => v_message.message ->> 'idempotency_key');
  exception when others then
    -- Locks, resources and shutdowns pass: the message shows up again in 30 s, five times. A full quota may last, and
    -- whoever has one may have sent many: the messages behind them are not to wait for them again and again.
    if sqlstate = 'QJ429' then
      perform pgmq.set_vt('submissions', v_message.msg_id, least(600, 30 * 2 ^ least(v_message.read_ct, 10))::integer);
      return 1;
    elsif sqlstate like any (array['40%', '53%', '55%', '57%']) and v_message.read_ct < 5 then
      return 1;
    end if;
    perform pgmq.send('dead_letters', jsonb_build_object('queue', 'submissions', 'reason', sqlerrm,
      'sqlstate', sqlstate, 'message', v_message.message));
  end;
  perform pgmq.delete('submissions', v_message.msg_id);
  return 1;
end $$;
