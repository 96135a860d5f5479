-- succeed: end the run, insert the record of its image and the event `completed`, all or nothing.
-- The image that this one was made from may have been deleted meanwhile. Its row is locked: one that is deleted at the same moment is
-- waited for, or waits, where the foreign key would refuse the whole statement.
-- Arguments: $1 run, $2 lease token, $3 sequence the caller last saw, $4 event, $5 image id, $6 image URL, $7 storage path, $8 width,
-- $9 height, $10 bytes, $11 SHA-256, $12 cost of the image in USD, $13 cost of the run in USD, $14 version of the price table,
-- $15 response metadata, $16 model, $17 visual elements, $18 number of reference images, $19 attempts.
with run as (
  update ai_image_runs
  set status = 'succeeded', sequence = sequence + 1, completed_at = now(), lease_token = null, lease_expires_at = null,
      image_id = $5, image_url = $6, cost_usd = $13::text::numeric, price_version = $14, response_metadata = $15, model = $16,
      attempts = $19, error_code = null, error_message = null, error_meta = null,
      quota_state = case when quota_state = 'reserved' then 'used' else quota_state end
  where id = $1 and lease_token = $2 and sequence = $3 and status = 'running'
  returning *
),
image as (
  insert into generated_images (
    id, user_id, prompt, full_prompt, image_url, dataset_id, style, aspect_ratio, quality, format, resolution,
    reference_images_count, unique_visual_elements, run_id, model, storage_path, width, height, bytes, sha256, cost_usd,
    parent_image_id, asset_kind, mode)
  select
    $5, owner_user_id, user_prompt, resolved_prompt, $6, dataset_id, style_preset, options ->> 'aspect_ratio',
    options ->> 'quality', options ->> 'format', options ->> 'resolution',
    $18, $17, id, $16, $7, $8, $9, $10, $11, $12::text::numeric,
    (select parent.id from generated_images parent where parent.id = run.parent_image_id for key share), asset_kind, mode
  from run
  returning id
)
insert into ai_image_run_events (run_id, sequence, name, data)
select run.id, run.sequence, $4::jsonb ->> 'type',
  $4 || jsonb_build_object('sequence', run.sequence, 'at', to_char(now() at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))
from run
returning sequence, name, data
