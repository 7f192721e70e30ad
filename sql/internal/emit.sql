-- Send an event to the queues bound to its topic, in the transaction that made it true. Costs next to nothing while
-- nobody has bound what fits it.
create or replace function qgjob.emit(p_topic text, p_event jsonb) returns void language plpgsql volatile as $$
begin
  if exists (select from pgmq.topic_bindings where p_topic ~ compiled_regex) then
    perform pgmq.send_topic(p_topic, p_event || jsonb_build_object('event', p_topic, 'at', qgjob.now()));
  end if;
end $$;
