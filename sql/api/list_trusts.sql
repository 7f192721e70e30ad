-- Whose GitHub Actions are trusted, of one organisation or of all.
create or replace function qgjob.list_trusts(p_org_id text default null)
returns table (
  trust_id bigint, org_id text, issuer text, repository_owner_id text, repository_id text, ref text, environment text,
  event_name text, created_at timestamptz
) language sql stable as $$
  select trust_id, org_id, issuer, repository_owner_id, repository_id, ref, environment, event_name, created_at
  from qgjob.trust where p_org_id is null or org_id = p_org_id
  order by org_id, trust_id
$$;
