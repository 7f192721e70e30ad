-- The batch's session is open, under this id; or it has ended, and this is its video. May be repeated; the first time is
-- when the batch was prepared. Opening a session is what installs the build on devices that are wiped, and what it costs.
create or replace function qgjob.record_session(
  p_lease bigint, p_session_id text default null, p_video_url text default null
) returns void language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp as $$
declare
  v_now timestamptz := qgjob.now();
  v_batch qgjob.batch;
  v_installs boolean;
begin
  select * into v_batch from qgjob.batch where batch_id = p_lease and ended_at is null and qgjob.may_drive(worker_id)
  for no key update;
  if v_batch.batch_id is null then
    perform qgjob.refuse_lease(p_lease);
  end if;
  select v_batch.prepared_at is null and qgjob.is_wiped(target) into v_installs
  from qgjob.job_group where group_id = v_batch.group_id;
  update qgjob.batch set
    session_id = coalesce(p_session_id, session_id),
    video_url = coalesce(p_video_url, video_url),
    prepared_at = coalesce(prepared_at, v_now),
    installed_at = case when v_installs then v_now else installed_at end
  where batch_id = p_lease;
  if v_installs then
    perform qgjob.learn_install(p_lease);
  end if;
end $$;
