-- May whoever this transaction is for see rows of this organisation? The API names the organisation of a token in
-- qgjob.org_id; unset and '*' are everybody's, for those whom no token has narrowed: workers, migrations, people in psql.
create or replace function qgjob.may_see(p_org_id text) returns boolean language sql stable parallel safe as $$
  select coalesce(current_setting('qgjob.org_id', true), '') in ('', '*', coalesce(p_org_id, ''))
$$;
