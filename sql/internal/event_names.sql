-- The events that webhooks can ask for: all of those that say whose they are. Devices belong to no organisation: their
-- events (device.*) are for queues that whoever operates the lab binds.
create or replace function qgjob.event_names() returns text[] language sql immutable parallel safe as $$
  select array['run.submitted', 'run.finished', 'job.started', 'job.retried', 'job.completed', 'job.failed',
    'job.cancelled', 'batch.claimed', 'batch.ended']
$$;
