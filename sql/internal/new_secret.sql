-- A secret as Standard Webhooks writes them: 244 bits that PostgreSQL drew from the system.
create or replace function qgjob.new_secret() returns text language sql volatile as $$
  select 'whsec_' || encode(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()), 'base64')
$$;
