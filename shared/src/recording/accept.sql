-- accept: insert a run with its idempotency key and its place in the day's quota, in one statement.
-- Answers one row: what became of the request. A second request with the same key that arrives at the same moment breaks the
-- unique index, which undoes the whole statement, the quota included; the caller then reads the run that won.
with earlier as (
  select id, request_hash
  from ai_image_runs
  where caller_key = $11 and idempotency_key = $12
),
quota as (
  insert into image_quotas (caller_key, day, used)
  select $11, (now() at time zone 'utc')::date, 1
  where $18::integer > 0 and not exists (select from earlier)
  on conflict (caller_key, day) do update set used = image_quotas.used + 1 where image_quotas.used < $18
  returning day, used
),
run as (
  insert into ai_image_runs (
    id, owner_user_id, mode, asset_kind, user_prompt, resolved_prompt, style_preset, model, options, dataset_id,
    caller_key, idempotency_key, request_hash, deadline_at, retry_unknown, parent_image_id, trace_parent,
    status, provider, queued_at, quota_day, quota_state)
  select
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10,
    $11, $12, $13, now() + make_interval(secs => $14), $15, $16, $17,
    'pending', 'openai', now(), (select day from quota), case when $18 is null then 'none' else 'reserved' end
  where not exists (select from earlier) and ($18 is null or exists (select from quota))
  returning id
)
select
  (select id from run) as inserted,
  (select id from earlier) as earlier,
  (select request_hash from earlier) as earlier_hash,
  coalesce(
    (select used from quota),
    (select used from image_quotas where caller_key = $11 and day = (now() at time zone 'utc')::date),
    0) as used,
  extract(epoch from (date_trunc('day', now() at time zone 'utc') + interval '1 day') - (now() at time zone 'utc'))::bigint as resets_in
