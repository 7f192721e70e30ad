-- The worker, unless it has ended: then it must register again.
create or replace function qgjob.require_worker(p_worker_id bigint) returns qgjob.worker
language plpgsql stable as $$
declare
  v_worker qgjob.worker;
begin
  select * into v_worker from qgjob.worker where worker_id = p_worker_id and qgjob.may_drive(p_worker_id);
  if v_worker.worker_id is null then
    raise exception using errcode = 'QJ404', constraint = 'worker_exists',
      message = format('There is no worker %s.', p_worker_id);
  elsif v_worker.ended_at is not null then
    raise exception using errcode = 'QJ409', constraint = 'worker_is_alive',
      message = format('Worker %s has ended.', p_worker_id), hint = 'It can register again, as another one.';
  end if;
  return v_worker;
end $$;
