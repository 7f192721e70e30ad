"""Webhooks, what is to be delivered to them, and the queue that their events come from."""

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.execute(
        """
        -- Where an organisation wants to be told. slow: the last delivery failed or took long; slow ones share what the
        -- others leave. old_secret signs beside the new one while receivers are changed over.
        create table qgjob.webhook (
          webhook_id bigint generated always as identity primary key,
          org_id text not null references qgjob.org,
          url text not null,
          events text[] not null,
          format text not null,
          description text not null,
          secret text not null,
          old_secret text,
          old_secret_until timestamptz,
          enabled boolean not null default true,
          disabled_reason text,
          idempotency_key text,
          created_at timestamptz not null,
          slow boolean not null default false,
          failing_since timestamptz,
          served_at timestamptz,
          last_at timestamptz,
          last_status_code integer,
          last_error text,
          constraint webhook_is_added_once unique (org_id, idempotency_key)
        );

        -- One event for one webhook, until it has arrived or is dead. next_at: when it is due; while somebody has it,
        -- when it is anybody's again. What has arrived keeps no payload.
        create table qgjob.webhook_delivery (
          delivery_id bigint generated always as identity primary key,
          webhook_id bigint not null references qgjob.webhook on delete cascade,
          message_id text not null,
          event text not null,
          payload jsonb,
          status text not null default 'pending',
          tries integer not null default 0,
          next_at timestamptz,
          claimed_at timestamptz,
          status_code integer,
          error text,
          duration_s double precision,
          dead_letter_id bigint,
          created_at timestamptz not null,
          ended_at timestamptz,
          constraint delivery_status_is_known check (status in ('pending', 'delivered', 'dead')),
          constraint only_a_pending_delivery_is_due check ((status = 'pending') = (next_at is not null)),
          constraint only_a_pending_delivery_goes_on check ((status = 'pending') = (ended_at is null))
        );
        create index due_deliveries on qgjob.webhook_delivery (webhook_id, next_at) where status = 'pending';
        create index claimed_deliveries on qgjob.webhook_delivery (webhook_id) where claimed_at is not null;
        create index ended_deliveries on qgjob.webhook_delivery (status, ended_at) where ended_at is not null;
        create index deliveries_of_a_webhook on qgjob.webhook_delivery (webhook_id, delivery_id);
        create index dead_deliveries on qgjob.webhook_delivery (webhook_id, delivery_id)
          where status = 'dead' and event <> 'webhook.test';

        select pgmq.create('webhooks');
        """
    )
