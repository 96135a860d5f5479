-- cancel: end a run that no worker has taken up; ask the worker of one that is being worked on to begin no further attempt.
-- One update for both: where a worker takes the run up at the same moment, the update waits for that claim and then sees what it left.
-- Two updates, one for each state, would both pass over such a row.
-- Arguments: $1 run, $2 owner, $3 whether every owner's, $4 data of the event `completed` of a canceled run.
with found as (
  select id from ai_image_runs
  where id = $1 and ($3 or owner_user_id is null or owner_user_id = $2)
),
run as (
  update ai_image_runs
  set cancel_requested_at = coalesce(cancel_requested_at, now()),
      status = case status when 'pending' then 'canceled' else status end,
      sequence = case status when 'pending' then sequence + 1 else sequence end,
      completed_at = case status when 'pending' then now() end,
      error_code = case status when 'pending' then $4::jsonb ->> 'errorCode' end,
      error_message = case status when 'pending' then $4::jsonb ->> 'errorMessage' end,
      error_meta = case status when 'pending' then '{"class": "not_accepted", "retryable": true}'::jsonb end,
      cost_usd = case status when 'pending' then 0 end,
      idempotency_key = case status when 'pending' then null else idempotency_key end,
      quota_state = case when status = 'pending' and quota_state = 'reserved' then 'released' else quota_state end
  where id = (select id from found) and status in ('pending', 'running')
  returning id, status, sequence, caller_key, quota_day, quota_state
),
canceled as (
  select * from run where status = 'canceled'
),
quota as (
  update image_quotas
  set used = image_quotas.used - 1
  from canceled
  where canceled.quota_state = 'released'
    and image_quotas.caller_key = canceled.caller_key and image_quotas.day = canceled.quota_day and image_quotas.used > 0
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
  exists (select from run where status = 'running') as asked,
  event.sequence, event.name, event.data
from found left join event on true
