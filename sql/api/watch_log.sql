-- What a job's current attempt has printed beyond the first p_after characters, of which p_attempt was the attempt; only
-- the end where it is more than 64 K. Asking is also what makes the job's worker write it: it goes on for some seconds
-- after the last question. The worker hears it by a notification, or, over
-- HTTP, by a heartbeat; a worker that polls PostgreSQL has nothing before the result.
create or replace function qgjob.watch_log(
  p_job_id bigint, p_attempt integer default null, p_after bigint default 0, p_org_id text default null
) returns table (job_id bigint, attempt integer, status text, length bigint, log text) language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  c_watch constant interval := '15 s';
  v_now timestamptz := qgjob.now();
  v_job qgjob.job_details;
  v_attempt integer;
begin
  select * into v_job from qgjob.get_job(p_job_id, p_org_id);
  v_attempt := v_job.attempts + (v_job.status in ('queued', 'running'))::integer;
  if v_job.status in ('queued', 'running') then
    -- However many watch, about one notification in seven seconds.
    insert into qgjob.live_log as live (job_id, watched_until) values (p_job_id, v_now + c_watch)
    on conflict (job_id) do update set watched_until = excluded.watched_until
    where live.watched_until not between v_now + c_watch / 2 and v_now + c_watch;
    if found then
      perform pg_notify('qgjob_log', p_job_id::text);
      -- Workers that speak HTTP hear it with their next heartbeat.
      perform qgjob.call_workers(array(
        select worker_id from qgjob.job join qgjob.batch using (batch_id) where job.job_id = p_job_id));
    end if;
  end if;
  return query
  select p_job_id, v_attempt, v_job.status, coalesce(live.length, 0),
    coalesce(right(live.log, greatest(0, live.length - case when p_attempt = v_attempt then p_after else 0 end)::integer), '')
  from qgjob.job left join qgjob.live_log as live on live.job_id = job.job_id and live.batch_id = job.batch_id
  where job.job_id = p_job_id;
end $$;
