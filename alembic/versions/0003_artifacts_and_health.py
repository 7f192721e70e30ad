"""What builds consist of, what attempts leave behind, and devices that are sick."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.execute(
        """
        -- The file that is installed on devices of a platform. sha256 is its identity; url is where workers get it.
        create table qgjob.artifact (
          org_id text not null,
          app_version_id text not null,
          platform text not null,
          url text not null,
          sha256 text not null,
          size bigint,
          app_id text,
          created_at timestamptz not null,
          primary key (org_id, app_version_id, platform),
          constraint artifact_is_of_a_build foreign key (org_id, app_version_id) references qgjob.build,
          constraint platform_is_known check (platform in ('android', 'ios')),
          constraint sha256_is_hex check (sha256 ~ '^[0-9a-f]{64}$'),
          constraint size_is_positive check (size > 0)
        );

        -- What was uploaded to a device cloud, so that it is uploaded once. account: a hash of who uploaded it;
        -- claimed_by: the worker that is uploading it.
        create table qgjob.upload (
          provider text not null,
          account text not null,
          sha256 text not null,
          url text,
          uploaded_at timestamptz,
          claimed_by bigint references qgjob.worker,
          claimed_at timestamptz,
          primary key (provider, account, sha256),
          constraint sha256_is_hex check (sha256 ~ '^[0-9a-f]{64}$'),
          constraint upload_has_a_time check ((url is null) = (uploaded_at is null)),
          constraint claim_has_a_time check ((claimed_by is null) = (claimed_at is null))
        );

        -- files: an array of {name, content_type, size, key}; key names the file in the object store.
        alter table qgjob.attempt
          add column files jsonb not null default '[]',
          add column reset_s real,
          add column upload_s real,
          add column video_offset_s real;

        -- account: of a device cloud, as a hash; while the batch lives it holds one of the account's parallel sessions.
        alter table qgjob.batch
          add column account text,
          add column session_id text,
          add column prepared_at timestamptz,
          add column video_url text,
          drop constraint end_reason_is_known,
          add constraint end_reason_is_known
            check (end_reason in ('done', 'drained', 'busy', 'unprepared', 'expired', 'replaced'));

        -- strikes counts batches in a row that the device lost; health is told by its worker, a person may overrule it.
        alter table qgjob.device
          add column strikes integer not null default 0,
          add column quarantined_at timestamptz,
          add column quarantined_by text,
          add column quarantine_reason text,
          add constraint quarantine_has_a_reason check (
            num_nulls(quarantined_at, quarantined_by, quarantine_reason) in (0, 3)),
          add constraint quarantined_by_is_known check (quarantined_by in ('health', 'person'));
        """
    )
