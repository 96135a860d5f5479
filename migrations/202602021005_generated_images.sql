-- The history: one row for every image that was made.
--
-- The fourteen columns, the three index names and the delete rules of the tracking system that
-- applications already have; a table that is there keeps its rows and gets what it lacks.

create table if not exists public.generated_images (
    id uuid primary key default gen_random_uuid(),
    user_id uuid references auth.users (id) on delete cascade,
    prompt text not null,
    full_prompt text,
    image_url text,
    dataset_id uuid references public.datasets (id) on delete set null,
    style text,
    aspect_ratio text,
    quality text,
    format text,
    resolution text,
    reference_images_count integer default 0,
    unique_visual_elements jsonb,
    created_at timestamptz not null default now()
);

alter table public.generated_images
    add column if not exists run_id uuid,
    add column if not exists model text,
    add column if not exists storage_path text,
    add column if not exists width integer,
    add column if not exists height integer,
    add column if not exists bytes bigint,
    add column if not exists sha256 text,
    add column if not exists cost_usd numeric(14, 9),
    add column if not exists mode text,
    add column if not exists asset_kind text,
    add column if not exists parent_image_id uuid
        references public.generated_images (id) on delete set null;

-- A user's rows go with the user: a row whose owner became null would be anybody's to read. A
-- table made by hand may lack the rule, or have another one. `not valid` leaves its old rows alone.
do $$
declare
    wanted record;
    present record;
begin
    for wanted in
        select *
        from (values
            ('user_id', 'auth.users', 'c', 'cascade'),
            ('dataset_id', 'public.datasets', 'n', 'set null')
        ) as rule (column_name, target, code, action)
    loop
        select c.conname, c.confdeltype::text as code
        into present
        from pg_catalog.pg_constraint c
        join pg_catalog.pg_attribute a on a.attrelid = c.conrelid and a.attnum = c.conkey[1]
        where c.conrelid = 'public.generated_images'::regclass
            and c.contype = 'f'
            and cardinality(c.conkey) = 1
            and a.attname = wanted.column_name
            and c.confrelid = wanted.target::regclass;

        if found and present.code = wanted.code then
            continue;
        end if;
        if found then
            execute format('alter table public.generated_images drop constraint %I', present.conname);
        end if;
        execute format(
            'alter table public.generated_images add constraint %I foreign key (%I) references %s (id) on delete %s not valid',
            'generated_images_' || wanted.column_name || '_fkey', wanted.column_name, wanted.target, wanted.action
        );
    end loop;

    if not exists (
        select from pg_catalog.pg_constraint
        where conrelid = 'public.generated_images'::regclass and conname = 'generated_images_measures_check'
    ) then
        alter table public.generated_images add constraint generated_images_measures_check
            check (width > 0 and height > 0 and bytes > 0 and cost_usd >= 0);
    end if;

    if not exists (
        select from pg_catalog.pg_constraint
        where conrelid = 'public.generated_images'::regclass and conname = 'generated_images_run_id_key'
    ) then
        alter table public.generated_images add constraint generated_images_run_id_key unique (run_id);
    end if;
end
$$;

create index if not exists idx_generated_images_user_id on public.generated_images (user_id);
create index if not exists idx_generated_images_dataset_id on public.generated_images (dataset_id);
create index if not exists idx_generated_images_created_at on public.generated_images (created_at desc);

-- The pages of an owner's history, and of the rows that have no owner.
create index if not exists idx_generated_images_owner_page
    on public.generated_images (user_id, created_at desc, id desc);
create index if not exists idx_generated_images_anonymous_page
    on public.generated_images (created_at desc, id desc)
    where user_id is null;
create index if not exists idx_generated_images_parent
    on public.generated_images (parent_image_id)
    where parent_image_id is not null;

comment on table public.generated_images is
    'One row for every image that was made. The image itself lies in storage.';
comment on column public.generated_images.user_id is
    'Null for an anonymous caller. The rows of a deleted user are deleted, never made anonymous.';
comment on column public.generated_images.prompt is 'What the user typed.';
comment on column public.generated_images.full_prompt is 'What was sent to the model.';
comment on column public.generated_images.run_id is
    'The run that made the image (ai_image_runs.id); null for images from before runs were recorded.';
comment on column public.generated_images.sha256 is 'SHA-256 of the stored bytes, lower-case hexadecimal.';
comment on column public.generated_images.cost_usd is 'Null where the price of the model is not known.';
comment on column public.generated_images.parent_image_id is 'The image that this one was edited or made again from.';

alter table public.generated_images enable row level security;

drop policy if exists darkroom_generated_images_select on public.generated_images;
create policy darkroom_generated_images_select on public.generated_images
    for select to authenticated
    using ((select auth.uid()) = user_id);

-- Clients read their history; only the backend writes it.
revoke all on public.generated_images from anon, authenticated;
grant select on public.generated_images to authenticated;
grant all on public.generated_images to service_role;
