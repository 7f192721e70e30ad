-- Let the queue `webhooks` be told of what enabled webhooks want, and of nothing else: what nobody wants costs the engine
-- nothing. Called after every change of a webhook.
create or replace function qgjob.bind_webhooks() returns void language plpgsql volatile as $$
begin
  -- One after the other, so that the later one sees what the earlier one has committed.
  perform pg_advisory_xact_lock(hashtextextended('qgjob.bind_webhooks', 0));
  perform pgmq.unbind_topic(pattern, 'webhooks') from pgmq.topic_bindings
  where queue_name = 'webhooks' and pattern not in (select unnest(events) from qgjob.webhook where enabled);
  perform pgmq.bind_topic(pattern, 'webhooks')
  from (select distinct unnest(events) as pattern from qgjob.webhook where enabled) as wanted
  where pattern not in (select pattern from pgmq.topic_bindings where queue_name = 'webhooks');
end $$;
