-- What tells whether a submission that comes with a used idempotency key is the same one. Empty without a key.
create or replace function qgjob.submission_hash(
  p_idempotency_key text, p_app_version_id text, p_jobs jsonb, p_defaults jsonb, p_labels jsonb
) returns bytea language sql immutable parallel safe as $$
  select case when p_idempotency_key is null then ''
    else sha256(convert_to(jsonb_build_array(p_app_version_id, p_jobs, p_defaults, p_labels)::text, 'utf8')) end
$$;
