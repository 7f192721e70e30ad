-- The first answer to this idempotency key; refused when the key came with another submission then.
create or replace function qgjob.replay_submission(p_org_id text, p_idempotency_key text, p_request_hash bytea)
returns qgjob.submitted language plpgsql stable as $$
declare
  v_run qgjob.run;
begin
  select * into v_run from qgjob.run where org_id = p_org_id and idempotency_key = p_idempotency_key;
  if v_run.request_hash <> p_request_hash then
    raise exception using errcode = 'QJ409', constraint = 'idempotency_key_is_used_once',
      message = 'This idempotency key was already used for another submission.',
      hint = format('Run %s has it. Use a new key, or repeat the very same submission.', v_run.run_id);
  end if;
  return (
    select (v_run.run_id, count(*), count(*) filter (where deduplicated), true,
      array_agg(job_id order by job_id))::qgjob.submitted
    from qgjob.job_of_run where run_id = v_run.run_id
  );
end $$;
