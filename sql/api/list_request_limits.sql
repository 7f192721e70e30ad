-- The organisations whose requests to the API are limited. Every API process asks now and then.
create or replace function qgjob.list_request_limits()
returns table (org_id text, requests_per_minute integer) language sql stable security definer
set search_path = pg_catalog, pg_temp as $$
  select org_id, requests_per_minute from qgjob.org where requests_per_minute is not null
$$;
