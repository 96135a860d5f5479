-- claim: take the lease of a run that nobody holds; the first claim also writes the event `started`.
-- The lease is measured by the database's clock alone, so a worker whose own clock is off neither loses it early nor keeps it late.
-- A prompt whose JSON text is longer than 24 KiB is cut to 4,000 characters (6 bytes each at most as JSON), since Ably takes 64 KiB;
-- options longer than 12 KiB go without their lists of images and elements.
-- A claim whose answer was lost is made again with the same token.
-- Arguments: $1 run, $2 lease token, $3 lease in seconds.
with run as (
  update ai_image_runs
  set status = 'running',
      lease_token = $2,
      lease_expires_at = now() + make_interval(secs => $3),
      sequence = greatest(sequence, 1),
      started_at = coalesce(started_at, now())
  where id = $1
    and (status = 'pending'
      or (status = 'running' and (lease_expires_at is null or lease_expires_at <= now() or lease_token = $2)))
  returning *
),
cut as (
  select
    id,
    octet_length(to_json(user_prompt)::text) > 24576 as user_prompt_long,
    octet_length(to_json(resolved_prompt)::text) > 24576 as resolved_prompt_long,
    octet_length(options::text) > 12288 as options_long
  from run
),
event as (
  insert into ai_image_run_events (run_id, sequence, name, data)
  select
    run.id, run.sequence, 'ai.image.run.started',
    jsonb_build_object(
      'type', 'ai.image.run.started',
      'runId', run.id,
      'assetKind', run.asset_kind,
      'mode', run.mode,
      'userPrompt', case when user_prompt_long then left(run.user_prompt, 4000) else run.user_prompt end,
      'resolvedPrompt', case when resolved_prompt_long then left(run.resolved_prompt, 4000) else run.resolved_prompt end,
      'stylePreset', run.style_preset,
      'options', case
        when options_long then run.options - array['sources', 'mask', 'references', 'references_left_out', 'unique_visual_elements']
        else run.options
      end,
      'sequence', run.sequence,
      'at', to_char(now() at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))
    || case when user_prompt_long or resolved_prompt_long or options_long then '{"truncated": true}'::jsonb else '{}'::jsonb end
  from run join cut using (id)
  -- Only the first claim has raised the sequence; a later one finds that event in place.
  on conflict (run_id, sequence) do nothing
  returning sequence, data
)
select
  run.*,
  run.cost_usd::text as cost,
  now() as database_time,
  found.status as found_status,
  event.sequence as event_sequence,
  event.data as event_data
from (select id, status from ai_image_runs where id = $1) found
left join run on run.id = found.id
left join event on true
