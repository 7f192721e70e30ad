"""A job names the run that created it, so that a submission writes one row for a job and not two.

What is further to be said of a run and a job stays in run_job. Of runs and jobs of earlier revisions all is said there,
so nothing is rewritten.
"""

from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    op.execute(
        """
        alter table qgjob.job add column run_id bigint;
        comment on column qgjob.job.run_id is 'the run that created it, unless run_job tells of the two';
        drop trigger a_final_status_is_final on qgjob.job;
        create trigger a_final_status_is_final before update on qgjob.job
          -- Its run may be forgotten.
          for each row when (old.finished_at is not null and to_jsonb(old) - 'run_id' <> to_jsonb(new) - 'run_id')
          execute function qgjob.keep_history('a_final_status_is_final', 'A job that has ended never changes.');

        alter table qgjob.run add column first_job_id bigint, add column last_job_id bigint;
        comment on column qgjob.run.first_job_id is 'the jobs that it created have numbers from this one on';
        comment on column qgjob.run.last_job_id is 'and up to this one, with those of other runs between them';

        comment on table qgjob.run_job is 'a run that waits for what another has created, or has abandoned its own';
        """
    )
