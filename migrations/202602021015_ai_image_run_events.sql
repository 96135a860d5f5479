-- Every event of a run, written by the statement that makes the change and published after it.

create table if not exists public.ai_image_run_events (
    run_id uuid not null references public.ai_image_runs (id) on delete cascade,
    sequence integer not null check (sequence > 0),
    name text not null,
    data jsonb not null check (jsonb_typeof(data) = 'object'),
    created_at timestamptz not null default now(),
    published_at timestamptz,
    primary key (run_id, sequence)
);

-- What the sweep publishes again, oldest first. Published events leave it.
create index if not exists idx_ai_image_run_events_unpublished
    on public.ai_image_run_events (created_at, run_id, sequence)
    where published_at is null;

comment on table public.ai_image_run_events is 'The log of a run: what its channel was told, in order.';
comment on column public.ai_image_run_events.sequence is 'From 1, without gaps in a run.';
comment on column public.ai_image_run_events.data is 'The message as published, data.type being its name.';
comment on column public.ai_image_run_events.published_at is 'Null until the channel has taken the event.';

alter table public.ai_image_run_events enable row level security;

drop policy if exists darkroom_ai_image_run_events_select on public.ai_image_run_events;
create policy darkroom_ai_image_run_events_select on public.ai_image_run_events
    for select to authenticated
    using (run_id in (select id from public.ai_image_runs where owner_user_id = (select auth.uid())));

revoke all on public.ai_image_run_events from anon, authenticated;
grant select on public.ai_image_run_events to authenticated;
grant all on public.ai_image_run_events to service_role;
