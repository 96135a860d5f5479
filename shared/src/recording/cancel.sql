-- cancel: end a run that no worker has taken up; ask the worker of one that is being worked on to begin no further attempt.
-- Arguments: $1 run, $2 owner, $3 whether every owner's, $4 data of the event `completed` of a canceled run.
with found as (
  select id from ai_image_runs
  where id = $1 and ($3 or owner_user_id is null or owner_user_id = $2)
),
canceled as (
  update ai_image_runs
  set status = 'canceled', sequence = sequence + 1, completed_at = now(), cancel_requested_at = now(),
      error_code = $4::jsonb ->> 'errorCode', error_message = $4::jsonb ->> 'errorMessage',
      error_meta = '{"class": "not_accepted", "retryable": true}', cost_usd = 0,
      idempotency_key = null,
      quota_state = case when quota_state = 'reserved' then 'released' else quota_state end
  where id = (select id from found) and status = 'pending'
  returning id, sequence, caller_key, quota_day, quota_state
),
quota as (
  update image_quotas
  set used = image_quotas.used - 1
  from canceled
  where canceled.quota_state = 'released'
    and image_quotas.caller_key = canceled.caller_key and image_quotas.day = canceled.quota_day and image_quotas.used > 0
),
asked as (
  update ai_image_runs
  set cancel_requested_at = coalesce(cancel_requested_at, now())
  where id = (select id from found) and status = 'running'
  returning id
),
event as (
  insert into ai_image_run_events (run_id, sequence, name, data)
  select id, sequence, $4::jsonb ->> 'type',
    $4 || jsonb_build_object('sequence', sequence, 'at', to_char(now() at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))
  from canceled
  returning sequence, name, data
)
select
  exists (select from canceled) as canceled,
  exists (select from asked) as asked,
  event.sequence, event.name, event.data
from found left join event on true
