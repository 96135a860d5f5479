-- begin_attempt: write down that the vendor is about to be asked, before it is.
-- A run that is to be canceled begins no attempt.
-- Arguments: $1 run, $2 lease token, $3 sequence the caller last saw, $4 event, $5 attempts with the new one, $6 model,
-- $7 retry count.
with run as (
  update ai_image_runs
  set attempts = $5, model = $6, retry_count = $7, sequence = sequence + 1
  where id = $1 and lease_token = $2 and sequence = $3 and status = 'running' and cancel_requested_at is null
  returning id, sequence
)
insert into ai_image_run_events (run_id, sequence, name, data)
select id, sequence, $4::jsonb ->> 'type',
  $4 || jsonb_build_object('sequence', sequence, 'at', to_char(now() at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))
from run
returning sequence, name, data
