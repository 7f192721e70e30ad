"""Who may do what: tokens, trusted repositories, readers by organisation, workers for some organisations only.

Roles, rights and row-level security follow from the tables' columns, in sql/rights.sql.
"""

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.execute(
        """
        -- org_id null: of all organisations. A token's text is known to its owner only.
        create table qgjob.api_token (
          token_id bigint generated always as identity primary key,
          hash bytea not null constraint token_is_unique unique constraint hash_is_sha256 check (length(hash) = 32),
          hint text not null,
          name text not null constraint token_name_is_short check (length(name) between 1 and 255),
          org_id text references qgjob.org,
          scopes text[] not null constraint scopes_are_known check (
            cardinality(scopes) > 0 and scopes <@ array['submit', 'read', 'work', 'admin']),
          created_by bigint references qgjob.api_token,
          trust_id bigint,
          created_at timestamptz not null,
          expires_at timestamptz,
          last_used_at timestamptz,
          revoked_at timestamptz,
          constraint only_machines_serve_all check (org_id is not null or scopes <@ array['work', 'admin'])
        );
        create index tokens_of_org on qgjob.api_token (org_id, token_id desc);
        create index exchanged_tokens on qgjob.api_token (expires_at) where trust_id is not null;

        -- Whose GitHub Actions may exchange their own token for one of ours. A null lets everything through.
        create table qgjob.trust (
          trust_id bigint generated always as identity primary key,
          org_id text not null references qgjob.org,
          issuer text not null,
          repository_owner_id text not null
            constraint owner_id_is_a_number check (repository_owner_id ~ '^[0-9]{1,20}$'),
          repository_id text constraint repository_id_is_a_number check (repository_id ~ '^[0-9]{1,20}$'),
          ref text,
          environment text,
          event_name text,
          created_at timestamptz not null,
          constraint trust_is_said_once unique nulls not distinct
            (org_id, issuer, repository_owner_id, repository_id, ref, environment, event_name)
        );
        create index trusts_of_owner on qgjob.trust (issuer, repository_owner_id);

        -- The tokens of GitHub that were exchanged, until they expire by themselves.
        create table qgjob.exchanged (
          issuer text not null,
          jti text not null,
          expires_at timestamptz not null,
          primary key (issuer, jti)
        );
        create index exchanged_by_expiry on qgjob.exchanged (expires_at);

        -- Whose rows a login that is a qgjob_reader sees. org_id '*': everybody's.
        create table qgjob.reader (
          role_name text not null,
          org_id text not null,
          primary key (role_name, org_id)
        );

        -- Null: whoever needs a device. A device serves whom its worker serves.
        alter table qgjob.worker add column org_ids text[]
          constraint some_org_is_served check (cardinality(org_ids) > 0);
        alter table qgjob.device add column org_ids text[];
        alter type qgjob.device_details add attribute org_ids text[];
        """
    )
