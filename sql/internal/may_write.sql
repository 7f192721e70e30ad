-- May whoever this transaction is for write under this lease? Those who drive the batch's worker: that it is a batch of
-- their organisation does not make a device theirs.
create or replace function qgjob.may_write(p_lease bigint) returns boolean language sql stable as $$
  select qgjob.may_see(null) or exists (
    select from qgjob.batch where batch_id = p_lease and qgjob.may_drive(worker_id))
$$;
