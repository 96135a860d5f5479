-- analytics: what runs came to in a period, all together and by one property of theirs, and what was used most.
-- Runs that have ended are read from idx_ai_image_runs_figures alone, those that have not from idx_ai_image_runs_unfinished, and
-- visual elements from their own indexes: the conditions are written as those indexes have them. The statement is planned with its
-- arguments at hand, so that the choices between them cost nothing.
-- Latency is the time from acceptance to end. Images of one dataset share their elements: equal lists are counted before they are
-- taken apart.
-- Arguments: $1 owner, $2 whether every owner's, $3 from, $4 to, $5 what to group by, $6 how many groups, $7 how many of the most used.
with runs as not materialized (
  select owner_user_id, created_at, status, completed_at, model, style_short, dataset_id, asset_kind, cost_usd, cost_unknown,
    attempt_count, input_tokens, input_text_tokens, input_image_tokens, output_tokens, total_tokens
  from ai_image_runs
  where ($2 or owner_user_id = $1) and created_at >= $3 and created_at < $4 and status in ('succeeded', 'failed', 'canceled')
  union all
  select owner_user_id, created_at, status, null, model, style_short, dataset_id, asset_kind, cost_usd, cost_unknown,
    attempt_count, input_tokens, input_text_tokens, input_image_tokens, output_tokens, total_tokens
  from ai_image_runs
  where ($2 or owner_user_id = $1) and created_at >= $3 and created_at < $4 and status in ('pending', 'running')
),
keyed as not materialized (
  select
    case $5
      when 'day' then (created_at at time zone 'utc')::date::text
      when 'model' then model
      when 'style' then style_short
      when 'dataset' then dataset_id::text
      when 'asset_kind' then asset_kind
      when 'status' then status
      when 'user' then owner_user_id::text
    end collate "C" as key,
    extract(epoch from completed_at - created_at)::double precision * 1000 as latency,
    runs.*
  from runs
),
figures as (
  select
    grouping(key) = 1 as whole,
    key,
    count(*) as runs,
    count(*) filter (where status = 'pending') as pending,
    count(*) filter (where status = 'running') as running,
    count(*) filter (where status = 'succeeded') as succeeded,
    count(*) filter (where status = 'failed') as failed,
    count(*) filter (where status = 'canceled') as canceled,
    coalesce(sum(attempt_count), 0) as attempts,
    percentile_cont(array[0.5, 0.95]) within group (order by latency) as latency,
    sum(cost_usd)::text as cost,
    count(*) filter (where cost_unknown) as cost_unknown,
    coalesce(sum(input_tokens), 0) as input_tokens,
    coalesce(sum(input_text_tokens), 0) as input_text_tokens,
    coalesce(sum(input_image_tokens), 0) as input_image_tokens,
    coalesce(sum(output_tokens), 0) as output_tokens,
    coalesce(sum(total_tokens), 0) as total_tokens
  from keyed
  group by grouping sets ((), (key))
),
-- Of too many days the last are told, of anything else the largest.
groups as (
  select figures.*, count(*) over () as all_groups
  from figures
  where not whole
  order by case $5 when 'day' then key end desc, runs desc, key
  limit $6
),
styles as (
  select style_short as style, count(*) as usage_count
  from runs
  where status = 'succeeded' and style_short is not null
  group by style_short
  order by usage_count desc, style
  limit $7
),
images as not materialized (
  select unique_visual_elements as elements
  from generated_images
  where ($2 or user_id = $1) and created_at >= $3 and created_at < $4
    and unique_visual_elements is not null and octet_length(unique_visual_elements::text) <= 400
  union all
  select unique_visual_elements
  from generated_images
  where ($2 or user_id = $1) and created_at >= $3 and created_at < $4
    and unique_visual_elements is not null and octet_length(unique_visual_elements::text) > 400
),
elements as (
  select element, sum(lists.images)::bigint as usage_count
  from (select elements, count(*) as images from images group by elements) lists
  cross join lateral jsonb_array_elements_text(
    case jsonb_typeof(lists.elements) when 'array' then lists.elements else '[]' end) element
  where element is not null
  group by element
  order by usage_count desc, element
  limit $7
)
select 'whole' as kind, key, to_jsonb(figures) as row from figures where whole
union all
select 'group', key, to_jsonb(groups) from groups
union all
select 'style', style, to_jsonb(usage_count) from styles
union all
select 'element', element, to_jsonb(usage_count) from elements
