-- Create these jobs. One that is already waited for (same group, same test_path, neither finished nor being cancelled) is
-- joined instead: p_joined[n] instead of p_instead[n].
--
-- Order of locks: jobs that are joined by id, then keys of new ones by (group, test_path). Where somebody else has created
-- or ended one in between, all of these locks are given up, to take them in that order again.
create or replace function qgjob.create_or_join(
  p_wanted qgjob.wanted_job[], out p_created bigint[], out p_joined bigint[], out p_instead bigint[]
) language plpgsql volatile as $$
declare
  v_now timestamptz := qgjob.now();
  -- In groups where nothing is unfinished nothing is waited for. A build that is new has only such.
  v_groups bigint[] := array(
    select group_id from qgjob.job_group
    where group_id = any (array(select distinct group_id from unnest(p_wanted)))
      and (head_priority is not null or devices > 0));
  v_priorities smallint[];
  v_broken text;
begin
  loop
    begin
      select coalesce(array_agg(waiting.job_id order by waiting.job_id), '{}'),
        coalesce(array_agg(wanted.job_id order by waiting.job_id), '{}'),
        array_agg(case when waiting.priority < wanted.priority then wanted.priority end order by waiting.job_id)
      into p_joined, p_instead, v_priorities
      from unnest(p_wanted) as wanted, lateral (
        select job_id, priority from qgjob.job
        where group_id = wanted.group_id and test_path = wanted.test_path
          and dedupe and finished_at is null and cancel_requested_at is null
        offset 0  -- or a plan of small tables compares each with every job there is
      ) as waiting
      where wanted.dedupe and wanted.group_id = any (v_groups);
      if p_joined <> '{}' then
        if p_joined <> array(
          select job_id from qgjob.job
          where job_id = any (p_joined) and finished_at is null and cancel_requested_at is null
          order by job_id for no key update
        ) then
          raise sqlstate 'QJ000';
        end if;
        for v_priority in 1..3 loop
          update qgjob.job set priority = v_priority, version = version + 1
          where job_id = any (array(
              select job_id from unnest(p_joined, v_priorities) as joined (job_id, priority) where priority = v_priority))
            and priority < v_priority;
        end loop;
      end if;

      with created as (
        insert into qgjob.job (job_id, org_id, group_id, test_path, priority, retries, timeout_s, dedupe, predicted_s,
          failed_before, created_at)
        overriding system value
        select job_id, org_id, group_id, test_path, priority, retries, timeout_s, dedupe, predicted_s, failed_before,
          v_now
        from unnest(p_wanted)
        where job_id not in (select unnest(p_instead))
        order by group_id, test_path
        returning job_id
      )
      select coalesce(array_agg(job_id), '{}') into p_created from created;
      return;
    exception
      when sqlstate 'QJ000' then
        null;
      when unique_violation then
        get stacked diagnostics v_broken = constraint_name;
        if v_broken <> 'job_is_waited_for_once' then
          raise;
        elsif current_setting('transaction_isolation') not like 'read %' then
          raise exception using errcode = 'serialization_failure',
            message = 'Could not serialize access: somebody else has just submitted one of these jobs.';
        end if;
        v_groups := array(select distinct group_id from unnest(p_wanted));
    end;
  end loop;
end $$;
