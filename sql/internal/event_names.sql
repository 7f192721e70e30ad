-- Every event that leaves the engine; what webhooks can ask for.
create or replace function qgjob.event_names() returns text[] language sql immutable parallel safe as $$
  select array['run.submitted', 'run.finished', 'job.started', 'job.retried', 'job.completed', 'job.failed',
    'job.cancelled', 'batch.claimed', 'batch.ended', 'device.quarantined', 'device.readmitted']
$$;
