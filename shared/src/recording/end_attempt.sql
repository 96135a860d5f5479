-- end_attempt: write down how an attempt ended.
-- Arguments: $1 run, $2 lease token, $3 sequence the caller last saw, $4 event, $5 attempts with the outcome.
with run as (
  update ai_image_runs
  set attempts = $5, sequence = sequence + 1
  where id = $1 and lease_token = $2 and sequence = $3 and status = 'running'
  returning id, sequence
)
insert into ai_image_run_events (run_id, sequence, name, data)
select id, sequence, $4::jsonb ->> 'type',
  $4 || jsonb_build_object('sequence', sequence, 'at', to_char(now() at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))
from run
returning sequence, name, data
