-- May whoever this transaction is for speak for this worker? One that serves others, too, is for a token of one
-- organisation as if it were not there.
create or replace function qgjob.may_drive(p_worker_id bigint) returns boolean language sql stable as $$
  select qgjob.may_see(null) or exists (
    select from qgjob.worker
    where worker_id = p_worker_id and array_length(org_ids, 1) = 1 and qgjob.may_see(org_ids[1]))
$$;
