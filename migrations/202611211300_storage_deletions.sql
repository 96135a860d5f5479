-- Objects that are to go from the bucket: their rows are deleted, and storage has not yet said that it did its part.
--
-- A row is written by the statement that deletes the record, so that neither a crash nor a storage that is down forgets the
-- object; whoever deletes it from storage, the function at once or the sweep later, deletes the row.

create table if not exists public.storage_deletions (
    path text primary key,
    requested_at timestamptz not null default now()
);

-- What the sweep repeats, oldest first.
create index if not exists idx_storage_deletions_requested
    on public.storage_deletions (requested_at, path);

comment on table public.storage_deletions is
    'Objects of the bucket whose records were deleted and that storage has not deleted yet; the sweep repeats it.';
comment on column public.storage_deletions.path is 'Path in the bucket.';

-- No policy: only the backend has anything to do here.
alter table public.storage_deletions enable row level security;
revoke all on public.storage_deletions from anon, authenticated;
grant all on public.storage_deletions to service_role;

-- A run whose image was deleted has ended as it has ended; its row says that there is nothing to look for.
alter table public.ai_image_runs
    add column if not exists image_deleted_at timestamptz;
comment on column public.ai_image_runs.image_deleted_at is
    'When the image of the run was deleted; image_id and image_url are null then.';

-- Before an object is deleted, and when orphans are looked for, it is asked who owns a path.
create index if not exists idx_generated_images_storage_path
    on public.generated_images (storage_path)
    where storage_path is not null;
create index if not exists idx_dataset_images_storage_path
    on public.dataset_images (storage_path)
    where storage_path is not null;
