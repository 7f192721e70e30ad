-- Create these jobs. One that is already waited for (same group, same test_path, neither finished nor being cancelled) is
-- joined instead: p_joined[n] instead of p_instead[n]. It keeps the highest priority, the most retries and the longest
-- timeout that anybody has asked for, also when they cancel.
--
-- Order of locks: keys of new jobs by (group, test_path), then jobs that are joined, so that whoever waits for a key keeps
-- nobody from ending a job. For jobs this waits for nobody: where somebody works on one it gives up all of its locks and
-- begins again with these jobs, by id, for which it waits before it looks, so that it cannot come too late for them again.
create or replace function qgjob.create_or_join(
  p_wanted qgjob.wanted_job[], p_now timestamptz, out p_created bigint[], out p_joined bigint[], out p_instead bigint[]
) language plpgsql volatile as $$
declare
  -- In groups where nothing is unfinished nothing is waited for. A build that is new has only such.
  v_groups bigint[] := array(
    select group_id from qgjob.job_group
    where group_id = any (array(select distinct group_id from unnest(p_wanted)))
      and (head_priority is not null or devices > 0));
  v_busy bigint[];  -- what was to be joined when somebody worked on some of it
  v_more qgjob.wanted_job[];
  v_growing bigint[];
  v_broken text;
begin
  loop
    begin
      if v_busy is not null then
        perform from qgjob.job where job_id = any (v_busy) order by job_id for no key update;
      end if;
      select coalesce(array_agg(waiting.job_id order by waiting.job_id), '{}'),
        coalesce(array_agg(wanted.job_id order by waiting.job_id), '{}'),
        coalesce(array_agg(wanted order by waiting.job_id) filter (where waiting.grows), '{}'),
        coalesce(array_agg(waiting.job_id order by waiting.job_id) filter (where waiting.grows), '{}')
      into p_joined, p_instead, v_more, v_growing
      from unnest(p_wanted) as wanted, lateral (
        select job_id, priority < wanted.priority or retries < wanted.retries or timeout_s < wanted.timeout_s as grows
        from qgjob.job
        where group_id = wanted.group_id and test_path = wanted.test_path
          and dedupe and finished_at is null and cancel_requested_at is null
        offset 0  -- or a plan of small tables compares each with every job there is
      ) as waiting
      where wanted.dedupe and wanted.group_id = any (v_groups);

      with created as (
        insert into qgjob.job (job_id, run_id, org_id, group_id, test_path, priority, retries, timeout_s, dedupe,
          predicted_s, failed_before, created_at)
        overriding system value
        select job_id, run_ids[1], org_id, group_id, test_path, priority, retries, timeout_s, dedupe, predicted_s,
          failed_before, p_now
        from unnest(p_wanted)
        where job_id not in (select unnest(p_instead))
        order by group_id, test_path
        returning job_id
      )
      select coalesce(array_agg(job_id), '{}') into p_created from created;

      if p_joined <> array(
        select job_id from qgjob.job
        where job_id = any (p_joined) and finished_at is null and cancel_requested_at is null
        order by job_id for no key update skip locked
      ) then
        raise sqlstate 'QJ000';
      end if;
      for v_n in 1..cardinality(v_more) loop  -- one by one: a plan of small tables joins each with each
        update qgjob.job set priority = greatest(priority, v_more[v_n].priority),
          retries = greatest(retries, v_more[v_n].retries), timeout_s = greatest(timeout_s, v_more[v_n].timeout_s),
          version = version + 1
        where job_id = v_growing[v_n];
      end loop;
      return;
    exception
      when sqlstate 'QJ000' then
        v_busy := p_joined;
      when unique_violation then
        get stacked diagnostics v_broken = constraint_name;
        if v_broken <> 'job_is_waited_for_once' then
          raise;
        elsif not qgjob.reads_committed() then
          raise sqlstate '40001' using
            message = 'Could not serialize access: somebody else has just submitted one of these jobs.';
        end if;
        v_groups := array(select distinct group_id from unnest(p_wanted));
    end;
  end loop;
end $$;
