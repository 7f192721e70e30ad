-- What was delivered three days ago, and what has been dead for thirty, a little at a time.
create or replace function qgjob.forget_deliveries() returns void language plpgsql volatile
set enable_seqscan = off as $$
declare
  c_most constant integer := 1000;
  v_now timestamptz := qgjob.now();
  v_old bigint[];
begin
  v_old := array(
    select delivery_id from qgjob.webhook_delivery
    where status = 'delivered' and ended_at < v_now - interval '3 days'
    order by ended_at limit c_most for update skip locked)
  || array(
    select delivery_id from qgjob.webhook_delivery
    where status = 'dead' and ended_at < v_now - interval '30 days'
    order by ended_at limit c_most for update skip locked);
  if v_old <> '{}' then
    perform pgmq.delete('dead_letters', array(select dead_letter_id from qgjob.webhook_delivery
      where delivery_id = any (v_old) and dead_letter_id is not null));
    delete from qgjob.webhook_delivery where delivery_id = any (v_old);
  end if;
end $$;
