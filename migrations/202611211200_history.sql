-- The history at scale: favourites, and an index for each filter of the list.
--
-- A page is read from one end of an index: equality on the owner and on the filter, then the order
-- of the list, (created_at, id). So each filter has two indexes: one led by the owner, for a user's
-- records and for those without an owner, and one without, for callers who see every record.
-- Building them locks the table against writes: half a minute for a million records.
--
-- In them the time is written as the time in UTC, and a page with a filter is asked for in that
-- order. The planner takes what is common among all records to be common among an owner's, and would
-- read an owner's whole history from idx_generated_images_owner_page for the few that are not like
-- the others; for this order it has the filter's index only.

alter table public.generated_images
    add column if not exists favorite boolean not null default false;

comment on column public.generated_images.favorite is 'Whether the owner marked it.';

-- Records without an owner are read from idx_generated_images_owner_page: it holds nulls, too.
drop index if exists public.idx_generated_images_anonymous_page;

-- All records, in the order of the list. The index on created_at alone leaves the order of records
-- that were made in the same moment open, and a table that was filled by one statement has no other.
create index if not exists idx_generated_images_page
    on public.generated_images (created_at desc, id desc);

create index if not exists idx_generated_images_owner_dataset
    on public.generated_images (user_id, dataset_id, (created_at at time zone 'utc') desc, id desc) where dataset_id is not null;
create index if not exists idx_generated_images_dataset_page
    on public.generated_images (dataset_id, (created_at at time zone 'utc') desc, id desc) where dataset_id is not null;

-- A style is free text. What another writer made longer than an index takes must not fail its insert. Not partial, since the planner
-- knows how common a style is from these indexes alone, and looks into none that is partial.
create index if not exists idx_generated_images_owner_style
    on public.generated_images (user_id, left(style, 200), (created_at at time zone 'utc') desc, id desc);
create index if not exists idx_generated_images_style_page
    on public.generated_images (left(style, 200), (created_at at time zone 'utc') desc, id desc);

create index if not exists idx_generated_images_owner_model
    on public.generated_images (user_id, model, (created_at at time zone 'utc') desc, id desc) where model is not null;
create index if not exists idx_generated_images_model_page
    on public.generated_images (model, (created_at at time zone 'utc') desc, id desc) where model is not null;

create index if not exists idx_generated_images_owner_format
    on public.generated_images (user_id, format, (created_at at time zone 'utc') desc, id desc) where format is not null;
create index if not exists idx_generated_images_format_page
    on public.generated_images (format, (created_at at time zone 'utc') desc, id desc) where format is not null;

create index if not exists idx_generated_images_owner_aspect_ratio
    on public.generated_images (user_id, aspect_ratio, (created_at at time zone 'utc') desc, id desc) where aspect_ratio is not null;
create index if not exists idx_generated_images_aspect_ratio_page
    on public.generated_images (aspect_ratio, (created_at at time zone 'utc') desc, id desc) where aspect_ratio is not null;

create index if not exists idx_generated_images_owner_resolution
    on public.generated_images (user_id, resolution, (created_at at time zone 'utc') desc, id desc) where resolution is not null;
create index if not exists idx_generated_images_resolution_page
    on public.generated_images (resolution, (created_at at time zone 'utc') desc, id desc) where resolution is not null;

create index if not exists idx_generated_images_owner_asset_kind
    on public.generated_images (user_id, asset_kind, (created_at at time zone 'utc') desc, id desc) where asset_kind is not null;
create index if not exists idx_generated_images_asset_kind_page
    on public.generated_images (asset_kind, (created_at at time zone 'utc') desc, id desc) where asset_kind is not null;

create index if not exists idx_generated_images_owner_mode
    on public.generated_images (user_id, mode, (created_at at time zone 'utc') desc, id desc) where mode is not null;
create index if not exists idx_generated_images_mode_page
    on public.generated_images (mode, (created_at at time zone 'utc') desc, id desc) where mode is not null;

create index if not exists idx_generated_images_owner_favorite
    on public.generated_images (user_id, favorite, (created_at at time zone 'utc') desc, id desc);
create index if not exists idx_generated_images_favorite_page
    on public.generated_images (favorite, (created_at at time zone 'utc') desc, id desc);
