-- Count what these batches did: their attempts, and those of them that needed no installation of their own.
create or replace function qgjob.count_ended(p_batch_ids bigint[], p_reason text) returns void language plpgsql volatile as $$
begin
  if p_reason = 'expired' then
    perform nextval('qgjob.count_expired') from unnest(p_batch_ids);
  end if;
  perform nextval('qgjob.count_attempts'),
    case when number > 1 or not installed then nextval('qgjob.count_avoided') end
  from (
    select batch.installed_at is not null as installed, row_number() over (partition by batch_id) as number
    from qgjob.batch join qgjob.attempt using (batch_id) where batch_id = any (p_batch_ids)
  ) as attempts;
end $$;
