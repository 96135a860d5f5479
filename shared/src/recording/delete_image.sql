-- delete_image: delete a record, note its object for deletion, and take the image back from what its run says.
-- The run stays as it ended. Images that were made of this one stay too, without a parent (the foreign key does that).
-- A record without a path has nothing in the bucket that is known to be its own.
-- Arguments: $1 image, $2 owner.
with gone as (
  delete from generated_images where id = $1 and user_id = $2
  returning id, run_id, storage_path
),
run as (
  update ai_image_runs run
  set image_id = null, image_url = null, image_deleted_at = now()
  from gone
  where run.id = gone.run_id and run.owner_user_id = $2
),
noted as (
  insert into storage_deletions (path)
  select storage_path from gone where storage_path <> ''
  on conflict (path) do nothing
)
select
  (select id from gone) is not null as deleted,
  (select nullif(storage_path, '') from gone) as path,
  exists (select from generated_images where id = $1 and user_id is null) as ownerless
