-- Does each statement of this transaction see what others have committed before it? Where it does not, what was locked may
-- be newer than what is read.
create or replace function qgjob.reads_committed() returns boolean language sql stable as $$
  select current_setting('transaction_isolation') like 'read %'
$$;
