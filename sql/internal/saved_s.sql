-- Seconds that one installation for each of so many attempts of a batch would have cost more: each as long as that of the
-- batch, or as one usually takes (p_usual_s) where it found its build on the device.
create or replace function qgjob.saved_s(p_batch qgjob.batch, p_attempts bigint, p_usual_s double precision)
returns double precision language sql immutable as $$
  select coalesce(qgjob.installs_avoided(p_batch, p_attempts) * coalesce(
    extract(epoch from p_batch.installed_at - p_batch.claimed_at)::double precision, p_usual_s), 0)
$$;
