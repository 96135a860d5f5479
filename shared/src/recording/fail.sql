-- fail: end the run without an image, with the event `completed`. Where nothing was, or may have been, billed, the place in the
-- day's quota is given back and the idempotency key is free again.
-- Arguments: $1 run, $2 lease token, $3 sequence the caller last saw, $4 event, $5 failed or canceled, $6 error code, $7 message,
-- $8 error meta, $9 whether nothing was billed, $10 cost of the run in USD, $11 version of the price table, $12 attempts.
with run as (
  update ai_image_runs
  set status = $5, sequence = sequence + 1, completed_at = now(), lease_token = null, lease_expires_at = null,
      error_code = $6, error_message = $7, error_meta = $8, cost_usd = $10::text::numeric, price_version = $11, attempts = $12,
      idempotency_key = case when $9 then null else idempotency_key end,
      quota_state = case when quota_state <> 'reserved' then quota_state when $9 then 'released' else 'used' end
  where id = $1 and lease_token = $2 and sequence = $3 and status = 'running'
  returning id, sequence, caller_key, quota_day, quota_state
),
quota as (
  update image_quotas
  set used = image_quotas.used - 1
  from run
  where $9 and run.quota_state = 'released'
    and image_quotas.caller_key = run.caller_key and image_quotas.day = run.quota_day and image_quotas.used > 0
)
insert into ai_image_run_events (run_id, sequence, name, data)
select id, sequence, $4::jsonb ->> 'type',
  $4 || jsonb_build_object('sequence', sequence, 'at', to_char(now() at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))
from run
returning sequence, name, data
