-- One row for every request to make or edit an image: what was asked for, how it went, and what
-- the worker and the sweep need to bring it to its end.
--
-- An application may have this table from before; its rows stay and it gets what it lacks.

create table if not exists public.ai_image_runs (
    id uuid primary key default gen_random_uuid(),
    owner_user_id uuid references auth.users (id) on delete cascade,
    mode text not null,
    asset_kind text not null default 'generic',
    user_prompt text not null,
    resolved_prompt text,
    style_preset text,
    provider text not null default 'openai',
    model text,
    options jsonb not null default '{}',
    retry_count integer not null default 0,
    status text not null default 'pending',
    error_code text,
    error_message text,
    error_meta jsonb,
    image_url text,
    response_metadata jsonb,
    attempts jsonb not null default '[]',
    started_at timestamptz,
    completed_at timestamptz
);

-- An old run was made when it started, not when this migration ran.
do $$
begin
    if not exists (
        select from pg_catalog.pg_attribute
        where attrelid = 'public.ai_image_runs'::regclass and attname = 'created_at' and not attisdropped
    ) then
        alter table public.ai_image_runs
            add column if not exists started_at timestamptz,
            add column created_at timestamptz;
        update public.ai_image_runs set created_at = coalesce(started_at, now());
        alter table public.ai_image_runs
            alter column created_at set default now(),
            alter column created_at set not null;
    end if;
end
$$;

alter table public.ai_image_runs
    add column if not exists owner_user_id uuid references auth.users (id) on delete cascade,
    add column if not exists asset_kind text not null default 'generic',
    add column if not exists resolved_prompt text,
    add column if not exists style_preset text,
    add column if not exists provider text not null default 'openai',
    add column if not exists model text,
    add column if not exists options jsonb not null default '{}',
    add column if not exists retry_count integer not null default 0,
    add column if not exists error_code text,
    add column if not exists error_message text,
    add column if not exists error_meta jsonb,
    add column if not exists image_url text,
    add column if not exists response_metadata jsonb,
    add column if not exists attempts jsonb not null default '[]',
    add column if not exists completed_at timestamptz,
    add column if not exists sequence integer not null default 0,
    add column if not exists image_id uuid,
    add column if not exists dataset_id uuid references public.datasets (id) on delete set null,
    add column if not exists parent_image_id uuid,
    add column if not exists cost_usd numeric(14, 9),
    add column if not exists price_version text,
    add column if not exists caller_key text,
    add column if not exists idempotency_key text,
    add column if not exists request_hash text,
    add column if not exists quota_day date,
    add column if not exists quota_state text not null default 'none',
    add column if not exists lease_token uuid,
    add column if not exists lease_expires_at timestamptz,
    add column if not exists queued_at timestamptz,
    add column if not exists cancel_requested_at timestamptz,
    add column if not exists deadline_at timestamptz,
    add column if not exists retry_unknown boolean not null default false,
    add column if not exists trace_parent text;

-- What is only a default costs an older writer nothing.
alter table public.ai_image_runs
    alter column id set default gen_random_uuid(),
    alter column asset_kind set default 'generic',
    alter column provider set default 'openai',
    alter column options set default '{}',
    alter column retry_count set default 0,
    alter column status set default 'pending',
    alter column attempts set default '[]';

do $$
declare
    rule record;
    present record;
begin
    -- A table from before knows fewer states: its own check on the status alone is replaced.
    for rule in
        select c.conname
        from pg_catalog.pg_constraint c
        join pg_catalog.pg_attribute a on a.attrelid = c.conrelid and a.attnum = c.conkey[1]
        where c.conrelid = 'public.ai_image_runs'::regclass
            and c.contype = 'c'
            and cardinality(c.conkey) = 1
            and a.attname = 'status'
    loop
        execute format('alter table public.ai_image_runs drop constraint %I', rule.conname);
    end loop;

    -- `not valid`: new rows obey, old rows of the application are left as they are.
    for rule in
        select *
        from (values
            ('ai_image_runs_status_check',
                $check$status in ('pending', 'running', 'succeeded', 'failed', 'canceled')$check$),
            ('ai_image_runs_mode_check', $check$mode in ('generate', 'edit')$check$),
            ('ai_image_runs_attempts_check', $check$jsonb_typeof(attempts) = 'array'$check$),
            ('ai_image_runs_options_check', $check$jsonb_typeof(options) = 'object'$check$),
            ('ai_image_runs_counts_check', $check$retry_count >= 0 and sequence >= 0 and cost_usd >= 0$check$),
            ('ai_image_runs_quota_check',
                $check$quota_state in ('none', 'reserved', 'used', 'released')
                    and (quota_state = 'none' or (quota_day is not null and caller_key is not null))$check$),
            ('ai_image_runs_lease_check', $check$(lease_token is null) = (lease_expires_at is null)$check$),
            ('ai_image_runs_unfinished_check',
                $check$completed_at is null or status in ('succeeded', 'failed', 'canceled')$check$),
            ('ai_image_runs_idempotency_check',
                $check$idempotency_key is null or (caller_key is not null and request_hash is not null)$check$)
        ) as wanted (name, expression)
    loop
        if exists (
            select from pg_catalog.pg_constraint
            where conrelid = 'public.ai_image_runs'::regclass and conname = rule.name
        ) then
            continue;
        end if;
        execute format(
            'alter table public.ai_image_runs add constraint %I check (%s) not valid', rule.name, rule.expression
        );
        if not exists (select from public.ai_image_runs) then
            execute format('alter table public.ai_image_runs validate constraint %I', rule.name);
        end if;
    end loop;

    -- A user's runs go with the user, whatever rule the table had before.
    select c.conname, c.confdeltype::text as code
    into present
    from pg_catalog.pg_constraint c
    join pg_catalog.pg_attribute a on a.attrelid = c.conrelid and a.attnum = c.conkey[1]
    where c.conrelid = 'public.ai_image_runs'::regclass
        and c.contype = 'f'
        and cardinality(c.conkey) = 1
        and a.attname = 'owner_user_id'
        and c.confrelid = 'auth.users'::regclass;
    if not found or present.code <> 'c' then
        if found then
            execute format('alter table public.ai_image_runs drop constraint %I', present.conname);
        end if;
        alter table public.ai_image_runs add constraint ai_image_runs_owner_user_id_fkey
            foreign key (owner_user_id) references auth.users (id) on delete cascade not valid;
    end if;
end
$$;

-- The pages of an owner's runs.
create index if not exists idx_ai_image_runs_owner_page
    on public.ai_image_runs (owner_user_id, created_at desc, id desc);
-- What the sweep looks for: unfinished runs, by state and by when their lease ends. Small, because
-- finished runs leave it.
create index if not exists idx_ai_image_runs_unfinished
    on public.ai_image_runs (status, lease_expires_at)
    where status in ('pending', 'running');
create index if not exists idx_ai_image_runs_dataset
    on public.ai_image_runs (dataset_id)
    where dataset_id is not null;
-- One run for a caller's key, however many requests come at once.
create unique index if not exists idx_ai_image_runs_idempotency
    on public.ai_image_runs (caller_key, idempotency_key)
    where idempotency_key is not null;

-- An end state never changes. Every statement that moves a run says so in its own `where`; this
-- holds for the statements that somebody writes later, or by hand.
create or replace function public.ai_image_runs_keep_end_state() returns trigger
language plpgsql
set search_path = ''
as $$
begin
    raise exception 'run % is % and cannot become %', old.id, old.status, new.status
        using errcode = 'check_violation', constraint = 'ai_image_runs_end_state', table = 'ai_image_runs';
end
$$;
revoke all on function public.ai_image_runs_keep_end_state() from public, anon, authenticated;

drop trigger if exists ai_image_runs_end_state on public.ai_image_runs;
create trigger ai_image_runs_end_state
    before update of status on public.ai_image_runs
    for each row
    when (old.status in ('succeeded', 'failed', 'canceled') and new.status is distinct from old.status)
    execute function public.ai_image_runs_keep_end_state();

comment on table public.ai_image_runs is
    'One row for every request to make or edit an image: pending, running, then succeeded, failed or canceled.';
comment on column public.ai_image_runs.owner_user_id is
    'Null for an anonymous caller. The runs of a deleted user are deleted, never made anonymous.';
comment on column public.ai_image_runs.options is
    'The settings of the request, with everything that the worker needs to make the image.';
comment on column public.ai_image_runs.attempts is
    'JSON array: attempt, model, status, startedAt, completedAt, delayMs, httpStatus, requestId, errorCode, errorMessage, retryable, billed, usage, meta.';
comment on column public.ai_image_runs.sequence is 'Number of the last event; the next one has this plus one.';
comment on column public.ai_image_runs.image_id is 'The row of generated_images that the run made.';
comment on column public.ai_image_runs.price_version is 'Version of the price table by which cost_usd was computed.';
comment on column public.ai_image_runs.caller_key is
    'Who asked, for idempotency and quotas: user:<uuid>, or address:<SHA-256 of an anonymous caller''s address>.';
comment on column public.ai_image_runs.request_hash is
    'SHA-256 of the request that came with the idempotency key: another request with the key is refused.';
comment on column public.ai_image_runs.quota_state is
    'What the run holds of the caller''s quota of quota_day: none, reserved, used, or released because nothing was billed.';
comment on column public.ai_image_runs.lease_token is 'Held by the one worker that may write to the run until lease_expires_at.';
comment on column public.ai_image_runs.queued_at is 'When a message for the run was last sent.';
comment on column public.ai_image_runs.deadline_at is 'When the caller no longer wants the image (Cancel-After).';
comment on column public.ai_image_runs.retry_unknown is
    'Whether a call whose answer was lost may be repeated, though the first may have been billed.';
comment on column public.ai_image_runs.trace_parent is 'W3C traceparent of the request.';

alter table public.ai_image_runs enable row level security;

drop policy if exists darkroom_ai_image_runs_select on public.ai_image_runs;
create policy darkroom_ai_image_runs_select on public.ai_image_runs
    for select to authenticated
    using ((select auth.uid()) = owner_user_id);

revoke all on public.ai_image_runs from anon, authenticated;
grant select on public.ai_image_runs to authenticated;
grant all on public.ai_image_runs to service_role;
