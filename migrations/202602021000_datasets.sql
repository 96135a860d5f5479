-- Datasets: what a brand looks like, and the reference images that show it.
--
-- An application may have these tables already. Then only what is missing is added, the
-- application's own policies stay, and so do the privileges that it granted.

do $$
begin
    if to_regclass('public.datasets') is null then
        create table public.datasets (
            id uuid primary key default gen_random_uuid(),
            user_id uuid references auth.users (id) on delete cascade
        );
        revoke all on public.datasets from anon, authenticated;
    end if;

    if to_regclass('public.dataset_images') is null then
        create table public.dataset_images (
            id uuid primary key default gen_random_uuid(),
            dataset_id uuid not null references public.datasets (id) on delete cascade
        );
        revoke all on public.dataset_images from anon, authenticated;
    end if;
end
$$;

alter table public.datasets
    add column if not exists user_id uuid references auth.users (id) on delete cascade,
    add column if not exists name text not null default '',
    add column if not exists brand text,
    add column if not exists vibe text,
    add column if not exists style_guidelines text,
    add column if not exists unique_visual_elements jsonb not null default '[]',
    add column if not exists created_at timestamptz not null default now(),
    add column if not exists updated_at timestamptz not null default now();

alter table public.dataset_images
    add column if not exists dataset_id uuid references public.datasets (id) on delete cascade,
    add column if not exists image_url text,
    add column if not exists storage_path text,
    add column if not exists content_type text,
    add column if not exists width integer,
    add column if not exists height integer,
    add column if not exists bytes bigint,
    add column if not exists created_at timestamptz not null default now();

create index if not exists idx_datasets_owner
    on public.datasets (user_id, created_at desc, id desc);
create index if not exists idx_dataset_images_dataset
    on public.dataset_images (dataset_id, created_at, id);

comment on table public.datasets is
    'What a brand looks like: the context that is put before a prompt.';
comment on column public.datasets.unique_visual_elements is
    'JSON array of strings, in the order in which they enter the prompt.';
comment on table public.dataset_images is
    'Reference images of a dataset.';
comment on column public.dataset_images.storage_path is
    'Path in the bucket where the image was uploaded to it; null for an image that lives elsewhere.';

alter table public.datasets enable row level security;
alter table public.dataset_images enable row level security;

drop policy if exists darkroom_datasets_select on public.datasets;
create policy darkroom_datasets_select on public.datasets
    for select to authenticated
    using ((select auth.uid()) = user_id);

drop policy if exists darkroom_datasets_insert on public.datasets;
create policy darkroom_datasets_insert on public.datasets
    for insert to authenticated
    with check ((select auth.uid()) = user_id);

drop policy if exists darkroom_datasets_update on public.datasets;
create policy darkroom_datasets_update on public.datasets
    for update to authenticated
    using ((select auth.uid()) = user_id)
    with check ((select auth.uid()) = user_id);

drop policy if exists darkroom_datasets_delete on public.datasets;
create policy darkroom_datasets_delete on public.datasets
    for delete to authenticated
    using ((select auth.uid()) = user_id);

drop policy if exists darkroom_dataset_images_select on public.dataset_images;
create policy darkroom_dataset_images_select on public.dataset_images
    for select to authenticated
    using (dataset_id in (select id from public.datasets where user_id = (select auth.uid())));

drop policy if exists darkroom_dataset_images_insert on public.dataset_images;
create policy darkroom_dataset_images_insert on public.dataset_images
    for insert to authenticated
    with check (dataset_id in (select id from public.datasets where user_id = (select auth.uid())));

drop policy if exists darkroom_dataset_images_update on public.dataset_images;
create policy darkroom_dataset_images_update on public.dataset_images
    for update to authenticated
    using (dataset_id in (select id from public.datasets where user_id = (select auth.uid())))
    with check (dataset_id in (select id from public.datasets where user_id = (select auth.uid())));

drop policy if exists darkroom_dataset_images_delete on public.dataset_images;
create policy darkroom_dataset_images_delete on public.dataset_images
    for delete to authenticated
    using (dataset_id in (select id from public.datasets where user_id = (select auth.uid())));

grant select, insert, update, delete on public.datasets, public.dataset_images to authenticated;
grant all on public.datasets, public.dataset_images to service_role;
