"""What is true of the database after every step, whatever was called before: each query finds what breaks its rule."""

from typing import LiteralString

from engine import Engine

RULES: dict[str, LiteralString] = {
    "what a row refers to is there": """
        select job_id from qgjob.attempt where not exists (select from qgjob.job where job.job_id = attempt.job_id)
          or not exists (select from qgjob.batch where batch.batch_id = attempt.batch_id)
        union all
        select job_id from qgjob.run_job where not exists (select from qgjob.job where job.job_id = run_job.job_id)
          or not exists (select from qgjob.run where run.run_id = run_job.run_id)
        union all
        select job_id from qgjob.job where run_id is not null and not exists (
            select from qgjob.run where run.run_id = job.run_id)
          or not exists (select from qgjob.job_group where job_group.group_id = job.group_id)
          or retry_of is not null and not exists (
            select from qgjob.job as earlier where earlier.job_id = job.retry_of)""",
    "a queued or running job is in a live batch": """
        select job_id from qgjob.job join qgjob.batch using (batch_id) where batch.ended_at is not null""",
    "a head is an upper bound of its pending jobs": """
        select job_id from qgjob.job join qgjob.job_group using (group_id)
        where status = 'pending' and (head_priority is null or head_priority < priority
          or head_at > job.created_at)""",
    "the devices of a group are its live batches": """
        select group_id from qgjob.job_group where devices <> (
          select count(*) from qgjob.batch where batch.group_id = job_group.group_id and ended_at is null)""",
    "a lane with pending jobs is active": """
        select lane_id from qgjob.lane where not active and exists (
          select from qgjob.job_group join qgjob.job using (group_id)
          where job_group.lane_id = lane.lane_id and job.status = 'pending')""",
    "the jobs of all runs are the runs of all jobs, each once": """
        select run_id, job_id from (
          select run_id, job_id, abandoned from qgjob.job_of_run
          union all
          select run_id, job_id, abandoned from qgjob.run_of_job) as told
        group by run_id, job_id, abandoned having count(*) <> 2""",
    "a run waits for its unfinished jobs that it has not abandoned": """
        select run_id from qgjob.run where remaining <> (
          select count(*) from qgjob.job_of_run join qgjob.job using (job_id)
          where job_of_run.run_id = run.run_id and not abandoned and job.finished_at is null)""",
    "a run is finished when it waits for nothing": """
        select run_id from qgjob.run where (remaining = 0) <> (finished_at is not null)""",
    "the total of a run is its jobs": """
        select run_id from qgjob.run where total <> (
          select count(*) from qgjob.job_of_run where job_of_run.run_id = run.run_id)""",
    "attempts are numbered without gaps, and counted by their kind": """
        select job_id from qgjob.job left join lateral (
          select count(*) as attempts, coalesce(max(number), 0) as last, count(distinct batch_id) as batches,
            count(*) filter (where failure_kind = 'infrastructure') as losses,
            count(*) filter (where failure_kind in ('test', 'timeout')) as test_failures
          from qgjob.attempt where attempt.job_id = job.job_id) as counted on true
        where (job.attempts, job.attempts, job.attempts, job.losses, job.test_failures) is distinct from
          (counted.attempts, counted.last, counted.batches, counted.losses, counted.test_failures)""",
    "a job has passed when its last attempt has, and no other": """
        select job_id from qgjob.job where (status = 'completed')::integer <> (
          select count(*) from qgjob.attempt where attempt.job_id = job.job_id and attempt.status = 'completed')
        union all
        select job_id from qgjob.job join qgjob.attempt using (job_id)
        where attempt.status = 'completed' and attempt.number <> job.attempts""",
    "a budget is used up before it fails a job, and never overdrawn": """
        select job_id from qgjob.job where losses > 4 or test_failures > retries + 1
          or (failure_kind = 'infrastructure' and losses <> 4)
          or (failure_kind in ('test', 'timeout') and test_failures <= retries and cancel_requested_at is null
            and not exists (
              select from qgjob.attempt join qgjob.batch using (batch_id)
              where attempt.job_id = job.job_id and (end_reason = 'refused' or attempt.permanent)))""",
    "only a pass after a failed test is flaky": """
        select job_id from qgjob.job where flaky <> (status = 'completed' and test_failures > 0)""",
    "the epoch of a device is that of its last batch": """
        select device_id from qgjob.device
        where epoch <> coalesce((select max(epoch) from qgjob.batch where batch.device_id = device.device_id), 0)""",
    "a build is trusted only from its last verified install on": """
        select device_id from qgjob.device where installed_build is distinct from (
          select job_group.build
          from qgjob.batch join qgjob.job_group using (group_id)
          where batch.device_id = device.device_id and batch.installed_at is not null
          order by batch_id desc limit 1) and installed_build is not null
        union all
        select device_id from qgjob.device join qgjob.batch using (device_id)
        where installed_build is not null and batch.epoch = device.epoch
          and (end_reason in ('unprepared', 'refused', 'expired', 'replaced')
            or (install and batch.installed_at is null))""",
    "the groups that are listed are those of all unfinished jobs": """
        select coalesce(listed.group_id, counted.group_id)
        from reporting.job_groups as listed full join (
          select group_id, count(*) filter (where status = 'pending') as pending,
            count(*) filter (where status = 'queued') as queued, count(*) filter (where status = 'running') as running,
            count(distinct batch_id) as devices, min(created_at) as oldest_at
          from qgjob.job where finished_at is null group by group_id) as counted using (group_id)
        where (listed.pending, listed.queued, listed.running, listed.devices, listed.oldest_at) is distinct from
          (counted.pending, counted.queued, counted.running, counted.devices, counted.oldest_at)""",
    "nothing is held by a worker that has ended": """
        select batch_id from qgjob.batch join qgjob.worker using (worker_id)
        where batch.ended_at is null and worker.ended_at is not null""",
}

EVERYTHING: LiteralString = " union all ".join(
    f"select '{rule}' as rule, (select array_agg(broken.*::text) from ({query}) as broken) as by"  # type: ignore[misc]
    for rule, query in RULES.items()
)


def assert_all(engine: Engine) -> None:
    broken = engine.rows(f"select rule, by from ({EVERYTHING}) as checked where by is not null")
    assert not broken, broken
