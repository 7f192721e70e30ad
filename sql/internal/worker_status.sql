-- live, draining, lost (not heard of for longer than its lease) or ended.
create or replace function qgjob.worker_status(p_worker qgjob.worker) returns text language sql volatile as $$
  select case
    when p_worker.ended_at is not null then 'ended'
    when p_worker.seen_at < qgjob.now() - make_interval(secs => p_worker.lease_s) then 'lost'
    when p_worker.draining then 'draining'
    else 'live' end
$$;
